/* Exit codes that every client tool of Ragify shares, and the text of them for --help.
 *
 * A script that calls a tool can tell "the server said no" from "there is no server" without reading words.
 */
#pragma once

#include <glib.h>

typedef enum {
  RAGIFY_TOOL_EXIT_OK = 0,          /* everything that was asked was done */
  RAGIFY_TOOL_EXIT_FAILED = 1,      /* the server refused, or a part of the work failed */
  RAGIFY_TOOL_EXIT_USAGE = 2,       /* the command line, or a file named on it, is not usable */
  RAGIFY_TOOL_EXIT_UNREACHABLE = 3, /* no server answered at the address */
} RagifyToolExit;

#define RAGIFY_TOOL_EXIT_HELP                                                                                          \
  "Exit codes:\n"                                                                                                      \
  "  0  done\n"                                                                                                        \
  "  1  the server refused, or some of the work failed\n"                                                              \
  "  2  wrong usage, or an input that cannot be read\n"                                                                \
  "  3  the server cannot be reached"

/* Prints "PROGRAM: MESSAGE\n" to standard error; control characters in the message are shown as '?'. [any] */
void ragify_tool_complain (const char *format, ...) G_GNUC_PRINTF (1, 2);

/* Returns text (owned by the caller) in which control characters other than newline and tab, and the two-byte C1
 * controls, are replaced by '?', so that text from a server or a document cannot steer the terminal. Invalid UTF-8 is
 * replaced too. [any] */
char *ragify_tool_printable (const char *text);
