/* Collecting what is wrong with a configuration: the part of it that only config/ uses; see config.h for the rest.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RAGIFY_CONFIG_DIAGNOSTICS_H
#define RAGIFY_CONFIG_DIAGNOSTICS_H

#include "config/config.h"

G_BEGIN_DECLS

/* Diagnostics beyond this many are counted and not kept; the text then ends with a line that says how many. */
#define RAGIFY_DIAGNOSTICS_MAX 10000

/* A place in a file. `group` may be NULL. */
typedef struct RagifyPlace {
  const char *file;
  unsigned int line;
  unsigned int column;
  const char *group;
} RagifyPlace;

/* Fixes the order of files in the output: the order in which they are announced. Announcing one twice is harmless. */
void ragify_diagnostics_announce (RagifyDiagnostics *diagnostics, const char *file);

/* Adds one; everything is copied. */
void ragify_diagnostics_report (RagifyDiagnostics *diagnostics, RagifySeverity severity, const RagifyPlace *place,
                                const char *format, ...) G_GNUC_PRINTF (4, 5);

/* The text in single quotes as a message should show it: control characters as \xNN, at most 64 characters. The caller
 * frees it. `text` is valid UTF-8. */
char *ragify_quote (const char *text);
char *ragify_quote_n (const char *text, size_t size);

G_END_DECLS
#endif
