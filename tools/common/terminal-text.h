/* Text laid out for a terminal. */
#pragma once

#include <glib.h>
#include <jansson.h>

/* Columns of standard output's terminal; 100 when it is none. */
guint ragify_terminal_width (void);

/* Folds white space and wraps at words to width columns, each line indented; at most lines lines, with "…" where text
 * was left out (0: all). No newline at the end. Owned by the caller. [any] */
char *ragify_terminal_text_wrap (const char *text, guint width, guint indent, guint lines);

/* A JSON value in words: members as "name: value", nested ones indented by two; numbers short, control characters as
 * '?'. Owned by the caller; no newline at the end. NULL gives "". [any] */
char *ragify_terminal_text_from_json (const json_t *value, guint indent);
