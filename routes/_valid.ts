/**
 * Validation with our shape of errors.
 *
 * @module
 */

import { zValidator } from "@hono/zod-validator";
import { z } from "zod";
import { AppError, type FieldError } from "./_errors.ts";

/**
 * Validates a part of the request; what is wrong is answered with 400 by path.
 *
 * @param target Which part.
 * @param schema Its shape.
 */
export function valid<
  Target extends "query" | "param" | "json",
  Schema extends z.ZodType,
>(target: Target, schema: Schema) {
  return zValidator(target, schema, (result) => {
    if (!result.success) {
      throw new AppError("invalid_request", {
        errors: fieldErrors(result.error as z.core.$ZodError),
      });
    }
  });
}

/**
 * What zod found, by path.
 *
 * @param error Of a failed parse.
 */
export function fieldErrors(error: z.core.$ZodError): FieldError[] {
  return error.issues.map((issue) => ({
    path: z.core.toDotPath(issue.path),
    message: issue.message,
  }));
}
