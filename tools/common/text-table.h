/* A small table of strings, printed aligned for a terminal or as Markdown. */
#pragma once

#include <glib.h>

typedef struct _RagifyTextTable RagifyTextTable;

/* alignment: a letter per column, 'l' or 'r'. The first row added is the heading. */
RagifyTextTable *ragify_text_table_new (const char *alignment);
void ragify_text_table_free (RagifyTextTable *table);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (RagifyTextTable, ragify_text_table_free)

/* Adds a row of as many strings as there are columns, copied. */
void ragify_text_table_add (RagifyTextTable *table, const char *const *cells);

/* The whole table with a newline after each row (owned by the caller). */
char *ragify_text_table_format (const RagifyTextTable *table, gboolean markdown);
