/* SPDX-License-Identifier: MIT */
#include "openai-embeddings.h"

#include <jansson.h>
#include <string.h>

#include "core/pipeline/describe.h"
#include "json-members.h"

static gboolean
refuse (RagifyProblem *problem, const char *field, const char *expected, const json_t *found)
{
  RagifyDescription description;
  return ragify_problem_set (problem, 422, "Invalid value", field, "%s: expected %s, found %s", field, expected,
                             ragify_describe (found, &description));
}

static gboolean
check_members (const json_t *body, RagifyProblem *problem)
{
  static const char *const known[] = { "input", "model", "encoding_format", "dimensions", "user", NULL };
  const char *name = NULL;
  json_t *value = NULL;
  json_object_foreach ((json_t *)body, name, value) if (!g_strv_contains (known, name)) return ragify_problem_set (
      problem, 422, "Invalid value", name, "%.64s is not a member of a request for embeddings", name);
  return TRUE;
}

static gboolean
take_text (const json_t *item, RagifyArena *arena, RagifyEmbeddingsQuestion *question, RagifyProblem *problem)
{
  const gsize size = json_string_length (item);
  if (json_is_integer (item) || json_is_array (item))
    return ragify_problem_set (
        problem, 422, "Invalid value", "input",
        "input: expected texts, found tokens: only texts are taken, since models differ in their "
        "tokens");
  if (!json_is_string (item) || size == 0)
    return refuse (problem, "input", "a text, or a list of texts, none of them empty", item);
  if (size > RAGIFY_EMBEDDINGS_LONGEST || strlen (json_string_value (item)) != size)
    return ragify_problem_set (problem, 422, "Invalid value", "input",
                               "input: expected texts of at most %u bytes without U+0000", RAGIFY_EMBEDDINGS_LONGEST);
  question->texts[question->count++] = ragify_str (ragify_arena_copy (arena, json_string_value (item), size), size);
  return TRUE;
}

static gboolean
take_input (const json_t *input, RagifyArena *arena, RagifyEmbeddingsQuestion *question, RagifyProblem *problem)
{
  const gsize count = json_is_array (input) ? json_array_size (input) : 1;
  if (count == 0 || count > RAGIFY_EMBEDDINGS_MOST)
    return ragify_problem_set (problem, 422, "Invalid value", "input", "input: expected 1 to %u texts, found %zu",
                               RAGIFY_EMBEDDINGS_MOST, count);
  question->texts = ragify_arena_alloc (arena, count * sizeof *question->texts);
  for (gsize i = 0; i < count; i++)
    if (!take_text (json_is_array (input) ? json_array_get (input, i) : input, arena, question, problem))
      return FALSE;
  return TRUE;
}

static gboolean
take_format (const json_t *body, RagifyEmbeddingsQuestion *question, RagifyProblem *problem)
{
  const json_t *format = json_object_get (body, "encoding_format");
  const json_t *dimensions = json_object_get (body, "dimensions");
  const double number = json_number_value (dimensions); /* 384.0 is an integer to JSON Schema */
  question->base64 = g_strcmp0 (json_string_value (format), "base64") == 0;
  if (format != NULL && !question->base64 && g_strcmp0 (json_string_value (format), "float") != 0)
    return refuse (problem, "encoding_format", "\"float\" or \"base64\"", format);
  if (dimensions != NULL &&
      (!json_is_number (dimensions) || !(number >= 1 && number <= 65536) || floor (number) < number))
    return refuse (problem, "dimensions", "an integer from 1 to 65536", dimensions);
  question->dimensions = (guint)number;
  return TRUE;
}

static gboolean
take_body (const json_t *body, RagifyArena *arena, RagifyEmbeddingsQuestion *question, RagifyProblem *problem)
{
  const json_t *model = json_object_get (body, "model");
  if (!json_is_object (body))
    return ragify_problem_set (problem, 422, "Invalid value", NULL, "expected an object");
  if (!check_members (body, problem))
    return FALSE;
  if (model != NULL && !json_is_string (model))
    return refuse (problem, "model", "a text", model);
  if (model != NULL)
    question->model = ragify_arena_copy (arena, json_string_value (model), strlen (json_string_value (model)));
  return take_format (body, question, problem) &&
         take_input (json_object_get (body, "input"), arena, question, problem);
}

gboolean
ragify_embeddings_parse (const char *body, gsize size, RagifyArena *arena, RagifyEmbeddingsQuestion *question,
                         RagifyProblem *problem)
{
  json_error_t error;
  json_t *root = json_loadb (body, size, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
  *question = (RagifyEmbeddingsQuestion){ 0 };
  if (root == NULL)
    return ragify_problem_set (problem, 400, "Malformed JSON", NULL, "line %d, column %d: %s", error.line, error.column,
                               error.text);
  const gboolean taken = take_body (root, arena, question, problem);
  json_decref (root);
  return taken;
}

/* ---- answers ---- */

static void
write_vector (RagifyWriter *writer, const float *vector, guint dimension, gboolean base64)
{
  if (base64) {
    g_autofree guint32 *bits = g_new (guint32, dimension);
    memcpy (bits, vector, dimension * sizeof *bits);
    for (guint i = 0; i < dimension; i++)
      bits[i] = GUINT32_TO_LE (bits[i]);
    g_autofree char *text = g_base64_encode ((const guchar *)bits, dimension * sizeof *bits);
    ragify_writer_string (writer, ragify_str_from (text));
    return;
  }
  ragify_writer_text (writer, "[");
  for (guint i = 0; i < dimension; i++) {
    if (i > 0)
      ragify_writer_text (writer, ",");
    ragify_writer_number (writer, (double)vector[i], 9);
  }
  ragify_writer_text (writer, "]");
}

char *
ragify_embeddings_encode (const float *const *vectors, guint count, guint dimension, gboolean base64, const char *model,
                          guint64 tokens, gsize *size)
{
  RagifyWriter writer;
  ragify_writer_init (&writer, 256 + (gsize)count * (64 + (base64 ? 6 : 12) * (gsize)dimension));
  ragify_writer_text (&writer, "{\"object\":\"list\",\"data\":[");
  for (guint i = 0; i < count; i++) {
    ragify_writer_text (&writer, i > 0 ? ",{\"object\":\"embedding\"" : "{\"object\":\"embedding\"");
    ragify_json_uint (&writer, "index", i);
    ragify_json_name (&writer, "embedding");
    write_vector (&writer, vectors[i], dimension, base64);
    ragify_writer_text (&writer, "}");
  }
  ragify_writer_text (&writer, "]");
  ragify_json_text (&writer, "model", model);
  ragify_json_name (&writer, "usage");
  ragify_writer_text (&writer, "{\"prompt_tokens\":");
  ragify_writer_uint (&writer, tokens);
  ragify_json_uint (&writer, "total_tokens", tokens);
  ragify_writer_text (&writer, "}}");
  return ragify_writer_steal (&writer, size);
}
