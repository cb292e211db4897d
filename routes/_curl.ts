/**
 * The worked example of an operation, as it is typed into a shell.
 *
 * @module
 */

import type { OpenApiOperation } from "./openapi.ts";

/**
 * @param url Where the API is reached, without a slash at its end.
 * @param method In upper case.
 * @param path As documented.
 * @param operation What the document says of it.
 * @returns A command of curl, on several lines. The key is `$KEY`.
 */
export function curlOf(
  url: string,
  method: string,
  path: string,
  operation: OpenApiOperation,
): string {
  const { requestBody, security } = operation;
  const [type, body] = Object.entries(requestBody?.content ?? {})[0] ?? [];
  const lines = [
    `curl${method === "GET" ? "" : ` -X ${method}`} "${url}${
      addressOf(path, operation)
    }"`,
    ...(security.length > 0 ? ['  -H "Authorization: Bearer $KEY"'] : []),
    ...(type
      ? [`  -H "Content-Type: ${type.replace("*/*", "application/json")}"`]
      : []),
    ...(body ? [`  -d '${JSON.stringify(body.example, null, 2)}'`] : []),
  ];
  return lines.join(" \\\n");
}

/**
 * The address of the example.
 *
 * @param path As documented.
 * @param operation What the document says of it.
 */
export function addressOf(
  path: string,
  { parameters = [] }: OpenApiOperation,
): string {
  const given = parameters.filter(({ example }) => example !== undefined);
  const address = given.filter((one) => one.in === "path").reduce(
    (text, { name, example }) => text.replace(`{${name}}`, example!),
    path,
  );
  const query = given.filter((one) => one.in === "query")
    .map(({ name, example }) => `${name}=${encodeURIComponent(example!)}`);
  return query.length > 0 ? `${address}?${query.join("&")}` : address;
}
