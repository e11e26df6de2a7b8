#include "text-table.h"

#include <string.h>

struct _RagifyTextTable {
  char *alignment;
  guint columns;
  GPtrArray *rows; /* of char ** */
};

RagifyTextTable *
ragify_text_table_new (const char *alignment)
{
  RagifyTextTable *table = g_new0 (RagifyTextTable, 1);
  table->alignment = g_strdup (alignment);
  table->columns = (guint)strlen (alignment);
  table->rows = g_ptr_array_new_with_free_func ((GDestroyNotify)g_strfreev);
  return table;
}

void
ragify_text_table_free (RagifyTextTable *table)
{
  if (table == NULL)
    return;
  g_ptr_array_unref (table->rows);
  g_free (table->alignment);
  g_free (table);
}

void
ragify_text_table_add (RagifyTextTable *table, const char *const *cells)
{
  char **row = g_new0 (char *, table->columns + 1);
  for (guint i = 0; i < table->columns; i++)
    row[i] = g_strdup (cells[i]);
  g_ptr_array_add (table->rows, row);
}

static glong
column_width (const RagifyTextTable *table, guint column)
{
  glong width = 3;
  for (guint i = 0; i < table->rows->len; i++) {
    char **row = g_ptr_array_index (table->rows, i);
    width = MAX (width, g_utf8_strlen (row[column], -1));
  }
  return width;
}

static void
append_cell (GString *text, const char *cell, glong width, gboolean right)
{
  int padding = (int)(width - g_utf8_strlen (cell, -1));
  g_string_append_printf (text, "%*s%s%*s", right ? padding : 0, "", cell, right ? 0 : padding, "");
}

static void
append_rule (GString *text, const RagifyTextTable *table)
{
  for (guint column = 0; column < table->columns; column++) {
    gboolean right = table->alignment[column] == 'r';
    g_string_append (text, "|");
    for (glong i = 0; i < column_width (table, column) + 1; i++)
      g_string_append_c (text, '-');
    g_string_append_c (text, right ? ':' : '-');
  }
  g_string_append (text, "|\n");
}

char *
ragify_text_table_format (const RagifyTextTable *table, gboolean markdown)
{
  GString *text = g_string_new (NULL);
  for (guint i = 0; i < table->rows->len; i++) {
    char **row = g_ptr_array_index (table->rows, i);
    for (guint column = 0; column < table->columns; column++) {
      g_string_append (text, markdown ? "| " : column > 0 ? "  " : "");
      append_cell (text, row[column], column_width (table, column), table->alignment[column] == 'r');
      g_string_append (text, markdown ? " " : "");
    }
    if (markdown)
      g_string_append (text, "|");
    while (text->len > 0 && text->str[text->len - 1] == ' ')
      g_string_truncate (text, text->len - 1);
    g_string_append_c (text, '\n');
    if (markdown && i == 0)
      append_rule (text, table);
  }
  return g_string_free (text, FALSE);
}
