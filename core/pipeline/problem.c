/* SPDX-License-Identifier: MIT */
#include <stdarg.h>

#include "request.h"
#include "writer.h"

static void
write_member (RagifyWriter *writer, const char *name, const char *value)
{
  if (value == NULL)
    return;
  /* What was found in a bad request is quoted in details; it need not be UTF-8. */
  g_autofree char *valid = g_utf8_make_valid (value, -1);
  ragify_writer_text (writer, ",\"");
  ragify_writer_text (writer, name);
  ragify_writer_text (writer, "\":");
  ragify_writer_string (writer, ragify_str_from (valid));
}

void
ragify_problem_clear (RagifyProblem *problem)
{
  g_free (problem->field);
  g_free (problem->detail);
  *problem = (RagifyProblem){ 0 };
}

gboolean
ragify_problem_set (RagifyProblem *problem, guint status, const char *title, const char *field, const char *format, ...)
{
  va_list arguments;
  va_start (arguments, format);
  g_autofree char *detail = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  ragify_problem_clear (problem);
  *problem = (RagifyProblem){
    .status = status, .title = title, .field = g_strdup (field), .detail = g_steal_pointer (&detail)
  };
  return FALSE;
}

char *
ragify_problem_encode (const RagifyProblem *problem, const char *request_id, gsize *size)
{
  RagifyWriter writer;
  ragify_writer_init (&writer, 256);
  ragify_writer_text (&writer, "{\"status\":");
  ragify_writer_uint (&writer, problem->status);
  write_member (&writer, "title", problem->title);
  write_member (&writer, "detail", problem->detail);
  write_member (&writer, "field", problem->field);
  write_member (&writer, "request_id", request_id);
  ragify_writer_bytes (&writer, "}", 2); /* with a NUL for those who print it */
  char *text = ragify_writer_steal (&writer, size);
  *size -= 1;
  return text;
}
