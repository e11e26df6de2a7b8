/* Requests and answers as OpenAI and Hugging Face's Text Embeddings Inference have them.
 *
 * SPDX-License-Identifier: MIT
 */
#include "embedder.h"

#include <math.h>
#include <string.h>

/* A vector's length may be off by so much before it counts as not normalised by the service. */
#define NEARLY 1e-3
#define DIMENSION_MAX 65536u

/* A text with its prefix; services refuse empty ones. */
static json_t *
input_of (const HttpEmbedder *embedder, const char *prefix, RagifyStr text)
{
  const RagifyStr cut = ragify_http_cut_text (text, embedder->max_text);
  if (prefix == NULL)
    return cut.size > 0 ? json_stringn (cut.data, cut.size) : json_string (" ");
  g_autoptr (GString) whole = g_string_new (prefix);
  g_string_append_len (whole, cut.data, (gssize)cut.size);
  return json_stringn (whole->str, whole->len);
}

json_t *
http_embedder_ask (const HttpEmbedder *embedder, const char *prefix, const RagifyStr *texts, guint count)
{
  json_t *inputs = json_array ();
  for (guint i = 0; i < count; i++)
    json_array_append_new (inputs, input_of (embedder, prefix, texts[i]));
  if (embedder->api == HTTP_EMBEDDER_TEI)
    return json_pack ("{s:o,s:b,s:b}", "inputs", inputs, "truncate", 1, "normalize", 1);
  json_t *body = json_pack ("{s:s,s:o,s:s}", "model", embedder->model, "input", inputs, "encoding_format",
                            embedder->base64 ? "base64" : "float");
  if (embedder->send_dimension)
    json_object_set_new (body, "dimensions", json_integer (embedder->dimension));
  return body;
}

/* ---- answers ---- */

/* Little-endian floats; services send them so whatever was asked for. */
static gboolean
read_base64 (const HttpEmbedder *embedder, const json_t *value, GArray *numbers, RagifyFault *fault)
{
  gsize size = 0;
  const gsize length = json_string_length (value);
  g_autofree guchar *bytes = g_base64_decode (json_string_value (value), &size);
  if (length % 4 != 0 || size % sizeof (float) != 0 || size / 3 != length / 4 - (size % 3 != 0 ? 1 : 0))
    return ragify_http_service_blame (&embedder->service, fault, "an embedding is no base64 of whole floats");
  g_array_set_size (numbers, (guint)(size / sizeof (float)));
  for (guint i = 0; i < numbers->len; i++) {
    guint32 bits;
    memcpy (&bits, bytes + i * sizeof bits, sizeof bits);
    bits = GUINT32_FROM_LE (bits);
    memcpy (&g_array_index (numbers, float, i), &bits, sizeof bits);
  }
  return TRUE;
}

static gboolean
read_list (const HttpEmbedder *embedder, const json_t *value, GArray *numbers, RagifyFault *fault)
{
  g_array_set_size (numbers, (guint)json_array_size (value));
  for (guint i = 0; i < numbers->len; i++) {
    const json_t *item = json_array_get (value, i);
    if (!json_is_number (item))
      return ragify_http_service_blame (&embedder->service, fault, "number %u of an embedding is no number", i + 1);
    g_array_index (numbers, float, i) = (float)json_number_value (item);
  }
  return TRUE;
}

/* One vector, of unit length. */
static gboolean
read_vector (HttpEmbedder *embedder, const json_t *value, guint *dimension, float *items, GArray *numbers,
             RagifyFault *fault)
{
  if (!json_is_array (value) && !json_is_string (value))
    return ragify_http_service_blame (&embedder->service, fault,
                                      "an embedding is neither a list of numbers nor base64");
  if (!(json_is_string (value) ? read_base64 : read_list) (embedder, value, numbers, fault))
    return FALSE;
  if (numbers->len == 0 || numbers->len > DIMENSION_MAX)
    return ragify_http_service_blame (&embedder->service, fault, "an embedding has %u numbers", numbers->len);
  if (*dimension != 0 && numbers->len != *dimension)
    return ragify_http_service_blame (&embedder->service, fault,
                                      "an embedding has %u numbers; the model's dimension is %u", numbers->len,
                                      *dimension);
  const float *from = (const float *)(const void *)numbers->data;
  double square = 0;
  for (guint i = 0; i < numbers->len; i++)
    square += (double)from[i] * (double)from[i];
  const double length = sqrt (square);
  if (!isfinite (length) || !(length > 1e-12))
    return ragify_http_service_blame (&embedder->service, fault, "an embedding has %s",
                                      isfinite (length) ? "a length of 0" : "numbers that are not finite");
  if (fabs (length - 1) > NEARLY)
    atomic_fetch_add (&embedder->normalised, 1);
  for (guint i = 0; *dimension != 0 && i < numbers->len; i++)
    items[i] = (float)((double)from[i] / length);
  *dimension = numbers->len;
  return TRUE;
}

/* Which text an item of OpenAI's list is of: it says so itself, and is trusted only where that makes sense. */
static gboolean
place_of (const HttpEmbedder *embedder, const json_t *item, guint at, guint count, guint8 *seen, guint *place,
          RagifyFault *fault)
{
  const json_t *index = json_object_get (item, "index");
  *place = at;
  if (index != NULL &&
      (!json_is_integer (index) || json_integer_value (index) < 0 || json_integer_value (index) >= count))
    return ragify_http_service_blame (&embedder->service, fault, "an embedding has an index outside 0 to %u",
                                      count - 1);
  if (index != NULL)
    *place = (guint)json_integer_value (index);
  if (seen[*place]++ > 0)
    return ragify_http_service_blame (&embedder->service, fault, "two embeddings have the index %u", *place);
  return TRUE;
}

gboolean
http_embedder_read (HttpEmbedder *embedder, const json_t *answer, guint count, guint *dimension, float *items,
                    RagifyFault *fault)
{
  const gboolean plain = json_is_array (answer);
  const json_t *list = plain ? answer : json_object_get (answer, "data");
  if (!json_is_array (list))
    return ragify_http_service_blame (&embedder->service, fault,
                                      "the answer has no list of embeddings; is `api` right?");
  if (json_array_size (list) != count)
    return ragify_http_service_blame (&embedder->service, fault, "the answer has %zu embeddings for %u texts",
                                      json_array_size (list), count);
  g_autofree guint8 *seen = g_malloc0 (count);
  g_autoptr (GArray) numbers = g_array_new (FALSE, FALSE, sizeof (float));
  for (guint i = 0; i < count; i++) {
    const json_t *item = json_array_get (list, i);
    const json_t *value = plain ? item : json_object_get (item, "embedding");
    guint place = i;
    if (!plain && !place_of (embedder, item, i, count, seen, &place, fault))
      return FALSE;
    if (!read_vector (embedder, value, dimension, items != NULL ? items + (gsize)place * *dimension : NULL, numbers,
                      fault))
      return FALSE;
  }
  const json_int_t tokens = json_integer_value (json_object_get (json_object_get (answer, "usage"), "total_tokens"));
  atomic_fetch_add (&embedder->tokens, (guint64)CLAMP (tokens, 0, G_MAXINT32));
  return TRUE;
}
