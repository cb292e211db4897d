/**
 * Where exported files are kept until they expire.
 *
 * Two places, held to one contract by tests/db/store_test.ts: the database, which every
 * process reaches and which needs nothing else; and a folder, for one machine, where
 * the embedded Postgres would only be the slower disk.
 *
 * @module
 */

import type { Sql } from "./client.ts";
import { copyIn, copyOut, uuidLiteral } from "./copy.ts";

/** One attempt to make one file. */
export interface StoredFile {
  job_id: string;
  attempt: string;
}

/** Keeps files. */
export interface ExportStore {
  /**
   * Writes a file; what was there under its name is gone.
   *
   * @param body Read only as fast as it can be put away.
   * @throws What `body` throws; what was written of it is no file then.
   */
  write(file: StoredFile, body: ReadableStream<Uint8Array>): Promise<void>;
  /**
   * Reads a part of a file that is there.
   *
   * @param accountId Whose it must be.
   * @param from First byte.
   * @param until The byte after the last.
   * @returns The bytes; fewer, or an error, where the file is gone.
   */
  read(
    accountId: number,
    file: StoredFile,
    from: number,
    until: number,
  ): ReadableStream<Uint8Array>;
  /** Whether a file is there, as far as can be told. */
  has(accountId: number, file: StoredFile): Promise<boolean>;
  /**
   * Removes files that nobody wants any more.
   *
   * @param wanted Asked, when it is known which files there are, whose attempts' they
   * are: what is begun meanwhile stays.
   */
  keepOnly(wanted: () => Promise<string[]>): Promise<void>;
}

/** Long enough that a statement a piece does not count, short enough to hold several. */
const CHUNK_BYTES = 512 * 1024;

/**
 * Files in rows of `export_chunk`.
 *
 * @param sql Client.
 */
export function postgresStore(sql: Sql): ExportStore {
  async function chunk(
    accountId: number,
    { job_id, attempt }: StoredFile,
    position: number,
  ): Promise<Uint8Array | null> {
    // In binary: as a value it would come as a text of twice its size.
    const row = await new Response(
      await copyOut(
        sql,
        `copy (select weir.read_export_chunk(${Math.trunc(accountId)}, ${
          uuidLiteral(job_id)
        }, ${uuidLiteral(attempt)}, ${position})) to stdout (format binary)`,
      ),
    ).bytes();
    // Signature, flags and number of fields come first, then how long the one field is.
    const size = new DataView(row.buffer).getInt32(21);
    return size < 0 ? null : row.subarray(25, 25 + size);
  }
  return {
    async write({ job_id, attempt }, body) {
      await sql`
        delete from weir.export_chunk where job_id = ${job_id} and attempt = ${attempt}`;
      await copyIn(
        sql,
        "copy weir.export_chunk (job_id, attempt, position, bytes) from stdin (format binary)",
        rowsOf({ job_id, attempt }, piecesOf(body, CHUNK_BYTES)),
      );
    },
    read(accountId, file, from, until) {
      let at = from;
      return new ReadableStream({
        async pull(controller) {
          if (at >= until) return controller.close();
          const position = Math.floor(at / CHUNK_BYTES);
          const bytes = await chunk(accountId, file, position);
          if (bytes === null) {
            throw new Error("Cannot read on: the file is gone");
          }
          const start = position * CHUNK_BYTES;
          const part = bytes.subarray(at - start, until - start);
          at += part.length;
          controller.enqueue(part);
        },
      }, { highWaterMark: 0 });
    },
    async has(accountId, file) {
      return await chunk(accountId, file, 0) !== null;
    },
    // expire_exports() does it, in the same database.
    async keepOnly(wanted) {
      await wanted();
    },
  };
}

/**
 * Files in a folder.
 *
 * @param folder Its path; made when something is written.
 */
export function diskStore(folder: string): ExportStore {
  const pathOf = ({ job_id, attempt }: StoredFile) =>
    `${folder}/${job_id}.${attempt}`;
  return {
    async write(file, body) {
      await Deno.mkdir(folder, { recursive: true, mode: 0o700 });
      const part = `${pathOf(file)}.part`;
      try {
        await Deno.writeFile(part, body, { mode: 0o600 });
        await Deno.rename(part, pathOf(file));
      } catch (error) {
        await Deno.remove(part).catch(() => {});
        throw error;
      }
    },
    read(_accountId, file, from, until) {
      let opened: Promise<Deno.FsFile> | undefined;
      async function open(): Promise<Deno.FsFile> {
        const opened = await Deno.open(pathOf(file));
        await opened.seek(from, Deno.SeekMode.Start);
        return opened;
      }
      let at = from;
      return new ReadableStream({
        async pull(controller) {
          const source = await (opened ??= open());
          const piece = new Uint8Array(Math.min(CHUNK_BYTES, until - at));
          const size = piece.length === 0 ? null : await source.read(piece);
          if (size === null) {
            source.close();
            return controller.close();
          }
          at += size;
          controller.enqueue(piece.subarray(0, size));
        },
        async cancel() {
          (await opened)?.close();
        },
      }, { highWaterMark: 0 });
    },
    async has(_accountId, file) {
      return await Deno.stat(pathOf(file)).then(() => true, () => false);
    },
    async keepOnly(wanted) {
      const names = await Array.fromAsync(entriesOf(folder), (one) => one.name);
      const kept = new Set(await wanted());
      for (const name of names) {
        const attempt = name.split(".")[1] ?? "";
        if (!kept.has(attempt)) {
          await Deno.remove(`${folder}/${name}`).catch(() => {});
        }
      }
    },
  };
}

/** Pieces as rows of `export_chunk`, as COPY reads them in binary: each field after its length. */
async function* rowsOf(
  { job_id, attempt }: StoredFile,
  pieces: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  const int32 = (number: number) => number.toString(16).padStart(8, "0");
  const ids = [job_id, attempt].map((id) => int32(16) + id.replaceAll("-", ""));
  const signature = "5047434f50590aff0d0a00";
  yield Uint8Array.fromHex(signature + int32(0) + int32(0));
  let position = 0;
  for await (const piece of pieces) {
    const number = int32(4) + int32(position++);
    yield Uint8Array.fromHex(
      `0004${ids.join("")}${number}${int32(piece.length)}`,
    );
    yield piece;
  }
  yield Uint8Array.fromHex("ffff");
}

async function* entriesOf(folder: string): AsyncGenerator<Deno.DirEntry> {
  try {
    yield* Deno.readDir(folder);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

/** Cuts a stream into pieces of one size, the last one of what is left; each until the next is asked for. */
async function* piecesOf(
  body: ReadableStream<Uint8Array>,
  size: number,
): AsyncGenerator<Uint8Array> {
  const piece = new Uint8Array(size);
  let filled = 0;
  for await (const bytes of body) {
    for (let from = 0; from < bytes.length;) {
      const part = bytes.subarray(from, from + size - filled);
      piece.set(part, filled);
      filled += part.length;
      from += part.length;
      if (filled === size) {
        yield piece;
        filled = 0;
      }
    }
  }
  if (filled > 0) yield piece.subarray(0, filled);
}
