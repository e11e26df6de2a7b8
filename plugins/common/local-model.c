/* SPDX-License-Identifier: MIT */
#include "local-model.h"

#include "encoder-error.h"
#include "settings.h"

#include <string.h>

enum { MOST_TOKENS = 65536 };

gboolean
ragify_local_model_configure (RagifyLocalModel *model, const RagifyHost *host, RagifyContext *context, const char *name,
                              gsize least_tokens)
{
  g_autofree char *directory = ragify_setting_text (host, context, "models-dir");
  g_autofree char *wrong = NULL;
  const gint64 max_tokens = ragify_setting_int (host, context, "max-tokens");

  *model = (RagifyLocalModel){
    .host = host,
    .folder = strchr (name, G_DIR_SEPARATOR) != NULL ? g_strdup (name) : g_build_filename (directory, name, NULL),
    .precision = ragify_setting_text (host, context, "precision"),
    .kernel = ragify_setting_text (host, context, "kernel"),
    .max_tokens = (gsize)max_tokens,
  };
  if (*name == '\0')
    wrong = g_strdup ("model: expected a name or a path, found nothing");
  else if (max_tokens != 0 && (max_tokens < (gint64)least_tokens || max_tokens > MOST_TOKENS))
    wrong = g_strdup_printf ("max-tokens: expected 0, or from %" G_GSIZE_FORMAT " to %d", least_tokens, MOST_TOKENS);
  if (wrong != NULL)
    host->set_error (context, ragify_str_from (wrong));
  return wrong == NULL;
}

void
ragify_local_model_clear (RagifyLocalModel *model)
{
  g_free (model->folder);
  g_free (model->precision);
  g_free (model->kernel);
}

gboolean
ragify_local_model_find (const RagifyLocalModel *model, RagifyCall *call)
{
  g_autofree char *message = NULL;

  if (g_file_test (model->folder, G_FILE_TEST_IS_DIR))
    return TRUE;
  message = g_strdup_printf ("%s: expected a model's folder, found none; 'ragify-ctl models fetch' fetches one "
                             "(tools/fetch-model in a source tree), or say where it is with models-dir and model",
                             model->folder);
  model->host->call_fail (call, RAGIFY_E_NOT_FOUND, ragify_str_from (message), 0);
  return FALSE;
}

static int32_t
code_of (const GError *error)
{
  switch (error->code) {
  case RAGIFY_ENCODER_ERROR_FILE:
    return RAGIFY_E_NOT_FOUND;
  case RAGIFY_ENCODER_ERROR_MEMORY:
    return RAGIFY_E_EXHAUSTED;
  case RAGIFY_ENCODER_ERROR_CANCELLED:
    return RAGIFY_E_CANCELLED;
  default:
    return RAGIFY_E_INVALID;
  }
}

void
ragify_local_model_fail (const RagifyLocalModel *model, RagifyCall *call, const GError *error)
{
  if (g_error_matches (error, RAGIFY_ENCODER_ERROR, RAGIFY_ENCODER_ERROR_CANCELLED) &&
      model->host->call_cancelled (call) == 0)
    model->host->call_fail (call, RAGIFY_E_TIMEOUT, ragify_str_from ("the deadline passed before all was computed"), 0);
  else
    model->host->call_fail (call, code_of (error), ragify_str_from (error->message), 0);
}

void
ragify_local_model_fail_memory (const RagifyLocalModel *model, RagifyCall *call)
{
  model->host->call_fail (call, RAGIFY_E_EXHAUSTED, ragify_str_from ("no memory is left for the answer"), 0);
}

gboolean
ragify_wanted_stop (gpointer user)
{
  const RagifyWanted *const wanted = user;

  return wanted->host->call_cancelled (wanted->call) != 0 ||
         wanted->host->clock_us () >= wanted->host->call_deadline_us (wanted->call);
}

RagifyPair
ragify_pair_text (const char *name, const char *text)
{
  return (RagifyPair){
    .name = ragify_str_from (name),
    .value = { .type = RAGIFY_VALUE_STRING, .string = ragify_str_from (text) },
  };
}

RagifyPair
ragify_pair_count (const char *name, uint64_t count)
{
  return (RagifyPair){
    .name = ragify_str_from (name),
    .value = { .type = RAGIFY_VALUE_INT, .integer = (int64_t)count },
  };
}

void
ragify_local_model_stats (const RagifyLocalModel *model, RagifyCall *call, const RagifyPair *pairs, gsize count)
{
  RagifyPair *const copy = model->host->call_alloc (call, count * sizeof *pairs);
  RagifyStatsResult result = { .struct_size = sizeof result };

  if (copy == NULL) {
    ragify_local_model_fail_memory (model, call);
    return;
  }
  memcpy (copy, pairs, count * sizeof *pairs);
  result.values = (RagifyPairList){ .items = copy, .count = count };
  model->host->call_done (call, &result);
}
