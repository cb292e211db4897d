/**
 * Validation with our shape of errors.
 *
 * @module
 */

import { zValidator } from "@hono/zod-validator";
import type { z } from "zod";
import { ERRORS_LISTED_MAX, MESSAGE_LENGTH_MAX } from "../db/schema.ts";
import { AppError, type FieldError } from "./_errors.ts";

/**
 * Validates a part of the request; what is wrong is answered with 400 by path.
 *
 * @param target Which part.
 * @param schema Its shape.
 */
export function valid<
  Target extends "query" | "param",
  Schema extends z.ZodType,
>(target: Target, schema: Schema) {
  return zValidator(target, schema, (result) => {
    if (!result.success) throw refusal(result.error as z.core.$ZodError);
  });
}

/**
 * Validates a body.
 *
 * @param schema Its shape.
 * @param body What `readJson()` read.
 * @returns What the schema makes of it.
 * @throws {AppError} `invalid_request` by path.
 */
export function parsed<Schema extends z.ZodType>(
  schema: Schema,
  body: unknown,
): z.infer<Schema> {
  const result = schema.safeParse(body);
  if (!result.success) throw refusal(result.error);
  return result.data;
}

function refusal(error: z.core.$ZodError): AppError {
  return new AppError("invalid_request", { errors: fieldErrors(error) });
}

/**
 * What zod found, by path.
 *
 * @param error Of a failed parse.
 */
export function fieldErrors(error: z.core.$ZodError): FieldError[] {
  return error.issues.slice(0, ERRORS_LISTED_MAX).map((issue) => ({
    path: issue.path.map(String).join("."),
    message: clipped(issue.message),
  }));
}

/**
 * As much of a message as is told.
 *
 * @param message May quote what was sent.
 */
export function clipped(message: string): string {
  return message.slice(0, MESSAGE_LENGTH_MAX).toWellFormed();
}
