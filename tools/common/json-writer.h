/* Writing JSON of our own, over json-glib. Every call names the member that it adds; inside an array, and for the
 * outermost value, the name is NULL. */
#pragma once

#include <glib.h>

typedef struct _RagifyJsonWriter RagifyJsonWriter;

RagifyJsonWriter *ragify_json_writer_new (void);
void ragify_json_writer_free (RagifyJsonWriter *writer);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (RagifyJsonWriter, ragify_json_writer_free)

void ragify_json_writer_begin_object (RagifyJsonWriter *writer, const char *name);
void ragify_json_writer_end_object (RagifyJsonWriter *writer);
void ragify_json_writer_begin_array (RagifyJsonWriter *writer, const char *name);
void ragify_json_writer_end_array (RagifyJsonWriter *writer);

/* value NULL, NaN or infinite is written as null. Strings are valid UTF-8. */
void ragify_json_writer_add_string (RagifyJsonWriter *writer, const char *name, const char *value);
void ragify_json_writer_add_integer (RagifyJsonWriter *writer, const char *name, gint64 value);
void ragify_json_writer_add_number (RagifyJsonWriter *writer, const char *name, double value);
void ragify_json_writer_add_boolean (RagifyJsonWriter *writer, const char *name, gboolean value);

/* Adds a value given as JSON text that ragify_json_parse has accepted and Jansson has written again; NULL gives null.
 */
void ragify_json_writer_add_json (RagifyJsonWriter *writer, const char *name, const char *text);

/* The finished document (owned by the caller), indented when pretty. */
char *ragify_json_writer_text (RagifyJsonWriter *writer, gboolean pretty);

/* Prints the finished document, indented and with a newline, to standard output. */
void ragify_json_writer_print (RagifyJsonWriter *writer);
