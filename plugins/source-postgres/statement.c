#include "statement.h"

#include <jansson.h>
#include <string.h>

typedef struct Name {
  const char *name;
  const char *as; /* what stands after $n: the type, so that the server need not guess */
} Name;

static const Name names[POSTGRES_N_PARAMETERS] = {
  [POSTGRES_QUERY] = { "query", "::text" },    [POSTGRES_PATTERN] = { "pattern", "::text" },
  [POSTGRES_EMBEDDING] = { "embedding", "" },  [POSTGRES_LIMIT] = { "limit", "::bigint" },
  [POSTGRES_FILTER] = { "filter", "::jsonb" }, [POSTGRES_CURSOR] = { "cursor", "" },
  [POSTGRES_SINCE] = { "since", "::float8" },
};

void
postgres_statement_clear (PostgresStatement *statement)
{
  g_clear_pointer (&statement->sql, g_free);
  statement->count = 0;
}

gboolean
postgres_statement_uses (const PostgresStatement *statement, PostgresParameter parameter)
{
  for (guint i = 0; i < statement->count; i++)
    if (statement->parameters[i] == parameter)
      return TRUE;
  return FALSE;
}

/* ---- reading SQL, as far as it must be: https://www.postgresql.org/docs/current/sql-syntax-lexical.html ---- */

static gboolean
is_word (char c)
{
  return g_ascii_isalnum (c) || c == '_' || (c & 0x80) != 0;
}

/* The end of 'text' or "text"; E'…' knows backslashes. */
static const char *
end_of_quoted (const char *at, gboolean backslashes)
{
  const char quote = *at++;
  while (*at != '\0') {
    if (backslashes && *at == '\\' && at[1] != '\0')
      at += 2;
    else if (*at == quote && at[1] == quote)
      at += 2;
    else if (*at == quote)
      return at + 1;
    else
      at++;
  }
  return at;
}

/* Block comments nest. */
static const char *
end_of_comment (const char *at)
{
  guint depth = 0;
  do {
    if (at[0] == '/' && at[1] == '*') {
      depth++;
      at += 2;
    } else if (at[0] == '*' && at[1] == '/') {
      depth--;
      at += 2;
    } else {
      at++;
    }
  } while (depth > 0 && *at != '\0');
  return at;
}

/* $tag$…$tag$, or NULL where `at` begins none. */
static const char *
end_of_dollar_quoted (const char *at)
{
  const char *tag = at + 1;
  if (g_ascii_isdigit (*tag))
    return NULL;
  while (is_word (*tag))
    tag++;
  if (*tag != '$')
    return NULL;
  g_autofree char *delimiter = g_strndup (at, (gsize)(tag + 1 - at));
  const char *end = strstr (tag + 1, delimiter);
  return end != NULL ? end + strlen (delimiter) : tag + strlen (tag);
}

/* What needs no look at: its end, or NULL where `at` begins nothing of the kind. */
static const char *
end_of_opaque (const char *begin, const char *at)
{
  if (*at == '\'') {
    const gboolean escapes = at > begin && (at[-1] == 'E' || at[-1] == 'e') && (at - 1 == begin || !is_word (at[-2]));
    return end_of_quoted (at, escapes);
  }
  if (*at == '"')
    return end_of_quoted (at, FALSE);
  if (at[0] == '-' && at[1] == '-')
    return at + strcspn (at, "\n");
  if (at[0] == '/' && at[1] == '*')
    return end_of_comment (at);
  if (*at == '$' && (at == begin || !is_word (at[-1])))
    return end_of_dollar_quoted (at);
  return NULL;
}

static guint
number_of (PostgresStatement *statement, PostgresParameter parameter)
{
  for (guint i = 0; i < statement->count; i++)
    if (statement->parameters[i] == parameter)
      return i + 1;
  statement->parameters[statement->count++] = parameter;
  return statement->count;
}

static gboolean
put_parameter (PostgresStatement *statement, GString *sql, const char *name, gsize size, RagifyFault *fault)
{
  for (guint i = 0; i < POSTGRES_CURSOR; i++) {
    if (strlen (names[i].name) != size || memcmp (names[i].name, name, size) != 0)
      continue;
    g_string_append_printf (sql, "$%u%s", number_of (statement, (PostgresParameter)i), names[i].as);
    return TRUE;
  }
  return ragify_fault_set (fault, RAGIFY_E_INVALID,
                           "statement: expected $query, $pattern, $embedding, $limit or $filter, found $%.*s",
                           (int)MIN (size, 64), name);
}

gboolean
postgres_statement_parse (const char *text, PostgresStatement *statement, RagifyFault *fault)
{
  g_autoptr (GString) sql = g_string_new (NULL);
  *statement = (PostgresStatement){ .count = 0 };
  for (const char *at = text; *at != '\0';) {
    const char *end = end_of_opaque (text, at);
    if (end != NULL) {
      g_string_append_len (sql, at, end - at);
      at = end;
    } else if (*at == '$' && is_word (at[1]) && (at == text || !is_word (at[-1]))) {
      const char *name = ++at;
      while (is_word (*at))
        at++;
      if (!put_parameter (statement, sql, name, (gsize)(at - name), fault))
        return FALSE;
    } else {
      g_string_append_c (sql, *at++);
    }
  }
  statement->sql = g_string_free (g_steal_pointer (&sql), FALSE);
  return TRUE;
}

/* ---- statements over a table ---- */

static void
put_identifier (GString *sql, const char *name, gsize size)
{
  g_string_append_c (sql, '"');
  for (gsize i = 0; i < size; i++) {
    if (name[i] == '"')
      g_string_append_c (sql, '"');
    g_string_append_c (sql, name[i]);
  }
  g_string_append_c (sql, '"');
}

static void
put_name (GString *sql, const char *name)
{
  put_identifier (sql, name, strlen (name));
}

static void
put_table (GString *sql, const char *name)
{
  const char *dot = strchr (name, '.');
  if (dot != NULL) {
    put_identifier (sql, name, (gsize)(dot - name));
    g_string_append_c (sql, '.');
    name = dot + 1;
  }
  put_name (sql, name);
}

/* A literal that no backslash setting reads otherwise. */
static void
put_literal (GString *sql, const char *text)
{
  g_string_append_c (sql, '\'');
  for (; *text != '\0'; text++) {
    if (*text == '\'')
      g_string_append_c (sql, '\'');
    g_string_append_c (sql, *text);
  }
  g_string_append_c (sql, '\'');
}

static void
put_number (PostgresStatement *statement, GString *sql, PostgresParameter parameter)
{
  g_string_append_printf (sql, "$%u%s", number_of (statement, parameter), names[parameter].as);
}

/* The columns that are there, each once; content is cut by the server, so that a huge one does not travel. */
static void
put_columns (GString *sql, const PostgresTable *table, gboolean score, guint64 max_content)
{
  const char *separator = "SELECT ";
  for (guint i = 0; i < RAGIFY_N_COLUMNS; i++) {
    const char *name = table->columns->names[i];
    if (name == NULL || (i == RAGIFY_COLUMN_SCORE && !score))
      continue;
    g_string_append (sql, separator);
    separator = ", ";
    if (i == RAGIFY_COLUMN_CONTENT && max_content > 0) {
      g_string_append (sql, "left(");
      put_name (sql, name);
      g_string_append_printf (sql, "::text, %" G_GUINT64_FORMAT ") AS ", max_content);
    }
    put_name (sql, name);
  }
}

static gboolean
check_table (const PostgresTable *table, RagifyFault *fault)
{
  if (table->name[0] == '\0')
    return ragify_fault_set (fault, RAGIFY_E_INVALID, "table: expected a name, found nothing");
  if (table->columns->names[RAGIFY_COLUMN_CONTENT] == NULL)
    return ragify_fault_set (fault, RAGIFY_E_INVALID, "content-column: expected a name, found nothing");
  return TRUE;
}

static void
finish (PostgresStatement *statement, GString *sql)
{
  statement->sql = g_string_free (sql, FALSE);
}

gboolean
postgres_statement_ilike (const PostgresTable *table, PostgresStatement *statement, RagifyFault *fault)
{
  if (!check_table (table, fault))
    return FALSE;
  GString *sql = g_string_new (NULL);
  const char *score = table->columns->names[RAGIFY_COLUMN_SCORE];
  put_columns (sql, table, TRUE, table->max_content);
  g_string_append (sql, " FROM ");
  put_table (sql, table->name);
  g_string_append (sql, " WHERE ");
  put_name (sql, table->columns->names[RAGIFY_COLUMN_CONTENT]);
  g_string_append (sql, " ILIKE ");
  put_number (statement, sql, POSTGRES_PATTERN);
  if (score != NULL) {
    g_string_append (sql, " ORDER BY ");
    put_name (sql, score);
    g_string_append (sql, " DESC NULLS LAST");
  }
  g_string_append (sql, " LIMIT ");
  put_number (statement, sql, POSTGRES_LIMIT);
  finish (statement, sql);
  return TRUE;
}

/* plainto_tsquery makes 'word' & 'word' of any text, whatever is in it; with | one of them is enough, and the ranking
 * puts those with more of them first. 32: rank ÷ (rank + 1), which is 0..1. */
gboolean
postgres_statement_fulltext (const PostgresTable *table, PostgresStatement *statement, RagifyFault *fault)
{
  if (!check_table (table, fault))
    return FALSE;
  const char *content = table->columns->names[RAGIFY_COLUMN_CONTENT];
  g_autoptr (GString) vector = g_string_new (NULL);
  if (table->vector != NULL && table->vector[0] != '\0') {
    put_name (vector, table->vector);
  } else {
    g_string_append (vector, "to_tsvector(");
    put_literal (vector, table->language);
    g_string_append (vector, "::regconfig, ");
    put_name (vector, content);
    g_string_append_c (vector, ')');
  }
  GString *sql = g_string_new (NULL);
  put_columns (sql, table, FALSE, table->max_content);
  g_string_append_printf (sql, ", ts_rank_cd(%s, ragify_query, 32) AS ", vector->str);
  const char *score = table->columns->names[RAGIFY_COLUMN_SCORE];
  put_name (sql, score != NULL ? score : "score");
  g_string_append (sql, " FROM ");
  put_table (sql, table->name);
  g_string_append (sql, table->any ? ", CAST(replace(plainto_tsquery(" : ", websearch_to_tsquery(");
  put_literal (sql, table->language);
  g_string_append (sql, "::regconfig, ");
  put_number (statement, sql, POSTGRES_QUERY);
  g_string_append (sql, table->any ? ")::text, ' & ', ' | ') AS tsquery) AS ragify_query" : ") AS ragify_query");
  g_string_append_printf (sql, " WHERE %s @@ ragify_query ORDER BY ts_rank_cd(%s, ragify_query, 32) DESC LIMIT ",
                          vector->str, vector->str);
  put_number (statement, sql, POSTGRES_LIMIT);
  finish (statement, sql);
  return TRUE;
}

gboolean
postgres_statement_scan (const PostgresTable *table, gboolean more, PostgresStatement *statement, RagifyFault *fault)
{
  const char *id = table->columns->names[RAGIFY_COLUMN_ID];
  const char *updated = table->columns->names[RAGIFY_COLUMN_UPDATED];
  if (!check_table (table, fault))
    return FALSE;
  if (id == NULL)
    return ragify_fault_set (fault, RAGIFY_E_INVALID, "id-column: a table without one cannot be read page by page");
  GString *sql = g_string_new (NULL);
  put_columns (sql, table, FALSE, 0);
  g_string_append (sql, " FROM ");
  put_table (sql, table->name);
  g_string_append (sql, " WHERE true");
  if (more) {
    g_string_append (sql, " AND ");
    put_name (sql, id);
    g_string_append (sql, " > ");
    put_number (statement, sql, POSTGRES_CURSOR);
  }
  if (updated != NULL) {
    g_string_append (sql, " AND (");
    put_number (statement, sql, POSTGRES_SINCE);
    g_string_append (sql, " IS NULL OR ");
    put_name (sql, updated);
    g_string_append (sql, " > to_timestamp(");
    put_number (statement, sql, POSTGRES_SINCE);
    g_string_append (sql, "))");
  }
  g_string_append (sql, " ORDER BY ");
  put_name (sql, id);
  g_string_append (sql, " LIMIT ");
  put_number (statement, sql, POSTGRES_LIMIT);
  finish (statement, sql);
  return TRUE;
}

/* ---- parameters ---- */

char *
postgres_pattern_of (const char *query)
{
  GString *pattern = g_string_sized_new (strlen (query) + 8);
  g_string_append_c (pattern, '%');
  for (; *query != '\0'; query++) {
    if (*query == '%' || *query == '_' || *query == '\\')
      g_string_append_c (pattern, '\\');
    g_string_append_c (pattern, *query);
  }
  g_string_append_c (pattern, '%');
  return g_string_free (pattern, FALSE);
}

char *
postgres_embedding_of (const RagifyVectors *vectors)
{
  GString *text = g_string_sized_new (vectors->dimension * 12 + 2);
  for (guint i = 0; i < vectors->dimension; i++) {
    char number[G_ASCII_DTOSTR_BUF_SIZE];
    g_string_append_c (text, i == 0 ? '[' : ',');
    g_string_append (text, g_ascii_formatd (number, sizeof number, "%.9g", (double)vectors->items[i]));
  }
  g_string_append_c (text, ']');
  return g_string_free (text, FALSE);
}

static json_t *
json_of_value (const RagifyValue *value)
{
  switch (value->type) {
  case RAGIFY_VALUE_BOOL:
    return json_boolean (value->integer != 0);
  case RAGIFY_VALUE_INT:
    return json_integer (value->integer);
  case RAGIFY_VALUE_DOUBLE:
    return json_real (value->number);
  case RAGIFY_VALUE_STRING:
    return json_stringn (value->string.data, value->string.size);
  default:
    return json_null ();
  }
}

static json_t *
json_of_values (const RagifyFilter *filter)
{
  if (filter->op != RAGIFY_FILTER_IN && filter->op != RAGIFY_FILTER_NIN)
    return filter->values.count > 0 ? json_of_value (&filter->values.items[0]) : json_null ();
  json_t *list = json_array ();
  for (guint64 i = 0; i < filter->values.count; i++)
    json_array_append_new (list, json_of_value (&filter->values.items[i]));
  return list;
}

/* In the language of the API: {"year": {"gte": 2020}}, {"and": […]}. */
static json_t *
json_of_filter (const RagifyFilter *filter)
{
  static const char *const operators[] = {
    [RAGIFY_FILTER_AND] = "and", [RAGIFY_FILTER_OR] = "or", [RAGIFY_FILTER_NOT] = "not", [RAGIFY_FILTER_EQ] = "eq",
    [RAGIFY_FILTER_NE] = "ne",   [RAGIFY_FILTER_GT] = "gt", [RAGIFY_FILTER_GTE] = "gte", [RAGIFY_FILTER_LT] = "lt",
    [RAGIFY_FILTER_LTE] = "lte", [RAGIFY_FILTER_IN] = "in", [RAGIFY_FILTER_NIN] = "nin",
  };
  json_t *object = json_object ();
  const char *name = filter->op < G_N_ELEMENTS (operators) ? operators[filter->op] : NULL;
  if (name == NULL)
    return object;
  if (filter->op >= RAGIFY_FILTER_EQ) {
    g_autofree char *field = g_strndup (filter->field.data, filter->field.size);
    json_t *comparison = json_object ();
    json_object_set_new (comparison, name, json_of_values (filter));
    json_object_set_new (object, field, comparison);
    return object;
  }
  json_t *list = json_array ();
  for (guint64 i = 0; i < filter->children.count; i++)
    json_array_append_new (list,
                           json_of_filter ((const RagifyFilter *)(const void *)((const char *)filter->children.items +
                                                                                i * filter->children.stride)));
  if (filter->op == RAGIFY_FILTER_NOT) {
    json_object_set (object, name, json_array_get (list, 0));
    json_decref (list);
  } else {
    json_object_set_new (object, name, list);
  }
  return object;
}

char *
postgres_filter_of (const RagifyFilter *filter)
{
  json_t *json = json_of_filter (filter);
  char *text = json_dumps (json, JSON_COMPACT);
  char *copy = g_strdup (text);
  free (text);
  json_decref (json);
  return copy;
}
