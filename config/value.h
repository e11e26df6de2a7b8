/* Typed values: from what is written to what is meant.
 *
 * SPDX-License-Identifier: MIT
 *
 *  - INT: decimal digits with a sign.            - DOUBLE: a finite decimal number, '.' for the fraction.
 *  - BOOL: true yes on 1, false no off 0.        - ENUM: one of the choices.
 *  - DURATION: a number and us, ms, s, min, h or d ("1.5s"); 0 needs no unit. At most 100 years; kept in µs.
 *  - SIZE: a number and B, kB/KB, MB, GB, TB (powers of 1000), KiB, MiB, GiB or TiB; without a unit, bytes.
 *  - PATH: made absolute, a relative one under the state directory; "..", "." and doubled '/' taken out.
 *  - URI: with a scheme, without blanks.         - STRING, SECRET: any text.       - LIST: see text.h.
 * Words are taken in any case; units are not, since MB and mb are not the same.
 */
#ifndef RAGIFY_CONFIG_VALUE_H
#define RAGIFY_CONFIG_VALUE_H

#include "config/config.h"
#include "config/text.h"

G_BEGIN_DECLS

typedef struct RagifyValueContext {
  const char *const *environment; /* as in RagifyConfigInput */
  const char *state_dir;          /* absolute */
} RagifyValueContext;

/* Parses `raw`, as written, for `key`, and checks choices and bounds. On success the union of `value` owns what it
 * points to (ragify_value_clear), `*hidden` is true when a message or a listing must not show the result, since a
 * variable is in it or it is a secret. On failure `value` is untouched and `error` filled in, with a message that
 * begins with the key's name and never has a secret or a variable's value in it. */
bool ragify_value_parse (const RagifyKey *key, const char *raw, const RagifyValueContext *context,
                         RagifyConfigValue *value, bool *hidden, RagifyTextError *error);

/* The same for a text that is already taken apart, such as one from a file. */
bool ragify_value_from_text (const RagifyKey *key, const char *text, const RagifyValueContext *context,
                             RagifyConfigValue *value, RagifyTextError *error);

/* Frees what the value's union owns; secrets are overwritten first. */
void ragify_value_clear (RagifyConfigValue *value);

/* "duration", "list", …: the type's name for people. */
const char *ragify_value_type_name (uint32_t type);

/* How the value would be written, in its largest exact unit: "1h", "64MiB", "a; b". The caller frees it. Secrets and
 * references are the caller's affair. */
char *ragify_value_to_text (const RagifyConfigValue *value);

G_END_DECLS
#endif
