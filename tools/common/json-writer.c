#include "json-writer.h"

#include <json-glib/json-glib.h>
#include <math.h>
#include <stdio.h>

struct _RagifyJsonWriter {
  JsonBuilder *builder;
};

RagifyJsonWriter *
ragify_json_writer_new (void)
{
  RagifyJsonWriter *writer = g_new0 (RagifyJsonWriter, 1);
  writer->builder = json_builder_new ();
  return writer;
}

void
ragify_json_writer_free (RagifyJsonWriter *writer)
{
  if (writer == NULL)
    return;
  g_object_unref (writer->builder);
  g_free (writer);
}

static JsonBuilder *
named (RagifyJsonWriter *writer, const char *name)
{
  if (name != NULL)
    json_builder_set_member_name (writer->builder, name);
  return writer->builder;
}

void
ragify_json_writer_begin_object (RagifyJsonWriter *writer, const char *name)
{
  json_builder_begin_object (named (writer, name));
}

void
ragify_json_writer_end_object (RagifyJsonWriter *writer)
{
  json_builder_end_object (writer->builder);
}

void
ragify_json_writer_begin_array (RagifyJsonWriter *writer, const char *name)
{
  json_builder_begin_array (named (writer, name));
}

void
ragify_json_writer_end_array (RagifyJsonWriter *writer)
{
  json_builder_end_array (writer->builder);
}

void
ragify_json_writer_add_string (RagifyJsonWriter *writer, const char *name, const char *value)
{
  if (value == NULL)
    json_builder_add_null_value (named (writer, name));
  else
    json_builder_add_string_value (named (writer, name), value);
}

void
ragify_json_writer_add_integer (RagifyJsonWriter *writer, const char *name, gint64 value)
{
  json_builder_add_int_value (named (writer, name), value);
}

void
ragify_json_writer_add_number (RagifyJsonWriter *writer, const char *name, double value)
{
  if (isfinite (value))
    json_builder_add_double_value (named (writer, name), value);
  else
    json_builder_add_null_value (named (writer, name));
}

void
ragify_json_writer_add_boolean (RagifyJsonWriter *writer, const char *name, gboolean value)
{
  json_builder_add_boolean_value (named (writer, name), value);
}

void
ragify_json_writer_add_json (RagifyJsonWriter *writer, const char *name, const char *text)
{
  JsonNode *node = text != NULL ? json_from_string (text, NULL) : NULL;
  if (node == NULL)
    json_builder_add_null_value (named (writer, name));
  else
    json_builder_add_value (named (writer, name), node);
}

char *
ragify_json_writer_text (RagifyJsonWriter *writer, gboolean pretty)
{
  g_autoptr (JsonNode) root = json_builder_get_root (writer->builder);
  return json_to_string (root, pretty);
}

void
ragify_json_writer_print (RagifyJsonWriter *writer)
{
  g_autofree char *text = ragify_json_writer_text (writer, TRUE);
  puts (text);
}
