import { deepStrictEqual, rejects, strictEqual } from "node:assert/strict";
import {
  exportJWK,
  exportSPKI,
  generateKeyPair,
  type JWK,
  SignJWT,
} from "jose";
import { createTokenReader, type ReadToken } from "../../routes/_token.ts";
import { NOW } from "../harness.ts";
import { serve } from "../serve.ts";
import { badTokens, claimsOf, signToken, TRUST } from "../tokens.ts";

const ACCOUNT = "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa";

/** A provider that publishes keys, and counts who asks. */
async function withProvider(
  test: (provider: {
    keys: JWK[];
    asked: number;
    isBroken: boolean;
    read: ReadToken;
  }) => Promise<void>,
): Promise<void> {
  const provider = { keys: [] as JWK[], asked: 0, isBroken: false };
  await using server = serve(() => {
    provider.asked++;
    return provider.isBroken
      ? new Response("<h1>Bad gateway</h1>")
      : Response.json({ keys: provider.keys });
  });
  const { secret: _, ...trust } = TRUST;
  const jwksUrl = `${server.url}/jwks.json`;
  const read = createTokenReader({ ...trust, jwksUrl }, () => NOW);
  await test(Object.assign(provider, { read }));
}

async function keyOf(alg: string, kid: string) {
  const pair = await generateKeyPair(alg, { extractable: true });
  return {
    ...pair,
    jwk: { ...await exportJWK(pair.publicKey), alg, kid, use: "sig" },
    sign: () =>
      new SignJWT(claimsOf({ account: ACCOUNT, role: "admin" }))
        .setProtectedHeader({ alg, kid }).sign(pair.privateKey),
  };
}

Deno.test("createTokenReader() reads Supabase's claims as they are", async () => {
  const read = createTokenReader(TRUST, () => NOW);
  const token = await signToken({ account: ACCOUNT.toUpperCase() });
  deepStrictEqual(await read(token), {
    user_id: "ada",
    account_uuid: ACCOUNT,
    role: "member",
    expires_ms: NOW.getTime() + 360_000,
  });
  for (const role of ["admin", "member", "service_role"]) {
    strictEqual(
      (await read(await signToken({ account: ACCOUNT, role })))?.role,
      role === "admin" ? "admin" : "member",
    );
  }
  // Clocks differ by a minute at most.
  const seconds = NOW.getTime() / 1_000;
  for (const claims of [{ exp: seconds - 59 }, { nbf: seconds + 59 }]) {
    const token = await signToken({ account: ACCOUNT, claims });
    strictEqual((await read(token))?.user_id, "ada");
  }
});

Deno.test("createTokenReader() takes none that is not good", async () => {
  const read = createTokenReader(TRUST, () => NOW);
  const tokens = await badTokens({ account: ACCOUNT });
  // Whether there is such an account is not the reader's to know.
  delete tokens["an account that is none"];
  for (const [what, token] of Object.entries(tokens)) {
    strictEqual(await read(token), null, what);
  }
  for (const text of ["", "a.b.c", "..", `${"x".repeat(9_000)}.y.z`]) {
    strictEqual(await read(text), null);
  }
});

Deno.test("createTokenReader() takes three algorithms by published keys, and no secret", async () => {
  await withProvider(async (provider) => {
    const keys = await Promise.all(
      ["ES256", "RS256", "EdDSA"].map((alg) => keyOf(alg, alg)),
    );
    provider.keys = keys.map(({ jwk }) => jwk);
    for (const key of keys) {
      strictEqual((await provider.read(await key.sign()))?.role, "admin");
    }
    strictEqual(provider.asked, 1);
    // The public key is no secret, whatever it is signed with.
    for (const kid of ["RS256", undefined]) {
      const pem = await exportSPKI(keys[1]!.publicKey);
      const forged = await new SignJWT(claimsOf({ account: ACCOUNT }))
        .setProtectedHeader({ alg: "HS256", kid })
        .sign(new TextEncoder().encode(pem));
      strictEqual(await provider.read(forged), null);
    }
    const es384 = await keyOf("ES384", "ES384");
    provider.keys.push(es384.jwk);
    strictEqual(await provider.read(await es384.sign()), null);
    for (
      const [what, token] of Object.entries(
        await badTokens({ account: ACCOUNT }),
      )
    ) {
      strictEqual(await provider.read(token), null, what);
    }
    strictEqual(provider.asked, 1);
  });
});

Deno.test("createTokenReader() asks for unknown keys, but not as often as it is asked", async () => {
  await withProvider(async (provider) => {
    const [old, next] = [await keyOf("ES256", "1"), await keyOf("ES256", "2")];
    provider.keys = [old.jwk];
    strictEqual((await provider.read(await old.sign()))?.role, "admin");
    const token = await next.sign();
    for (let i = 0; i < 20; i++) strictEqual(await provider.read(token), null);
    strictEqual(provider.asked, 1);
  });
});

Deno.test("createTokenReader() does not call a token bad when nobody knows", async () => {
  await withProvider(async (provider) => {
    const key = await keyOf("ES256", "1");
    provider.keys = [key.jwk];
    provider.isBroken = true;
    const token = await key.sign();
    await rejects(provider.read(token), { code: "identity_unavailable" });
    provider.isBroken = false;
    strictEqual((await provider.read(token))?.role, "admin");
  });
});
