/* A value as written, taken apart: quotes, escapes, ${NAME} and lists. It knows no types.
 *
 * SPDX-License-Identifier: MIT
 *
 *  - "…": the text between the quotes, where \" \\ \n \t \r stand for the character; nothing may follow the closing
 * one.
 *  - ${NAME}, quoted or not: the environment variable, taken as it is: what it holds is neither split nor unquoted. A
 *    variable that is not set is an error. $${ stands for ${.
 *  - A list: items separated by ';', each quoted or not; a ';' at the end is allowed, an empty item is not.
 */
#ifndef RAGIFY_CONFIG_TEXT_H
#define RAGIFY_CONFIG_TEXT_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>

G_BEGIN_DECLS

/* Why a value was refused, and which byte of it is to blame. */
typedef struct RagifyTextError {
  size_t offset;
  char *message; /* freed by whoever gets it */
} RagifyTextError;

typedef struct RagifyTextItem {
  char *text;
  size_t offset; /* of the item in the value as written */
} RagifyTextItem;

/* The value of an environment variable; `environment` as in RagifyConfigInput. NULL: not set. */
const char *ragify_environment_get (const char *const *environment, const char *name);

/* One text, to be freed by the caller. `*expanded` becomes true when a variable is in it, and is left alone otherwise.
 * NULL with `error` filled in. */
char *ragify_text_scalar (const char *raw, const char *const *environment, bool *expanded, RagifyTextError *error);

/* The items: an array of RagifyTextItem that frees them. NULL with `error` filled in. */
GArray *ragify_text_list (const char *raw, const char *const *environment, bool *expanded, RagifyTextError *error);

/* Fills in `error`, and returns false so that a check can return it. */
bool ragify_text_error (RagifyTextError *error, size_t offset, const char *format, ...) G_GNUC_PRINTF (3, 4);

/* `text` as it would be written in a file, as a list's item or alone: quoted where it must be. The caller frees it. */
char *ragify_text_write (const char *text, bool item);

G_END_DECLS
#endif
