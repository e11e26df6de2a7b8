/* A folder of a model, looked into. */
#include "models.h"

#include <gio/gio.h>
#include <glib/gstdio.h>
#include <string.h>

#include "cross-encoder.h"
#include "encoder.h"
#include "model-config.h"

const RagifyKnownModel RAGIFY_KNOWN_MODELS[] = {
  { "fast", "all-MiniLM-L6-v2", TRUE },
  { "balanced", "all-mpnet-base-v2", TRUE },
  { "accurate", "all-MiniLM-L12-v2", FALSE },
  { NULL, NULL, FALSE },
};

void
ragify_model_entry_free (RagifyModelEntry *entry)
{
  g_free (entry->name);
  g_free (entry->path);
  g_free (entry->precision);
  g_free (entry->kernel);
  g_free (entry->fingerprint);
  g_free (entry->problem);
  g_free (entry);
}

static gboolean
read_encoder (RagifyModelEntry *entry, GError **error)
{
  g_autoptr (RagifyEncoder) encoder = ragify_encoder_open (entry->path, NULL, error);
  if (encoder == NULL)
    return FALSE;
  entry->kind = "embedder";
  entry->dimension = ragify_encoder_get_dimension (encoder);
  entry->layers = ragify_encoder_get_layers (encoder);
  entry->max_tokens = ragify_encoder_get_max_tokens (encoder);
  entry->precision = g_strdup (ragify_encoder_get_precision (encoder));
  entry->kernel = g_strdup (ragify_encoder_get_kernel (encoder));
  entry->fingerprint = g_strdup (ragify_encoder_get_fingerprint (encoder));
  return TRUE;
}

static gboolean
read_cross_encoder (RagifyModelEntry *entry, GError **error)
{
  g_autoptr (RagifyCrossEncoder) encoder = ragify_cross_encoder_open (entry->path, NULL, error);
  if (encoder == NULL)
    return FALSE;
  entry->kind = "reranker";
  entry->dimension = ragify_cross_encoder_get_dimension (encoder);
  entry->layers = ragify_cross_encoder_get_layers (encoder);
  entry->max_tokens = ragify_cross_encoder_get_max_tokens (encoder);
  entry->precision = g_strdup (ragify_cross_encoder_get_precision (encoder));
  entry->kernel = g_strdup (ragify_cross_encoder_get_kernel (encoder));
  return TRUE;
}

RagifyModelEntry *
ragify_model_entry_read (const char *path)
{
  RagifyModelEntry *entry = g_new0 (RagifyModelEntry, 1);
  g_autofree char *weights = g_build_filename (path, "model.safetensors", NULL);
  g_autoptr (GError) error = NULL;
  RagifyModelConfig config;
  GStatBuf status;
  entry->path = g_strdup (path);
  entry->name = g_path_get_basename (path);
  if (g_stat (weights, &status) == 0)
    entry->size = (guint64)status.st_size;
  if (!ragify_model_config_read (path, &config, &error) ||
      !(config.labels > 0 ? read_cross_encoder (entry, &error) : read_encoder (entry, &error)))
    entry->problem = g_strdup (error->message);
  return entry;
}

static int
by_name (gconstpointer a, gconstpointer b)
{
  const RagifyModelEntry *left = *(RagifyModelEntry *const *)a, *right = *(RagifyModelEntry *const *)b;
  return strcmp (left->name, right->name);
}

GPtrArray *
ragify_model_entries_read (const char *folder, GError **error)
{
  g_autoptr (GDir) directory = g_dir_open (folder, 0, error);
  if (directory == NULL)
    return NULL;
  GPtrArray *entries = g_ptr_array_new_with_free_func ((GDestroyNotify)ragify_model_entry_free);
  for (const char *name = g_dir_read_name (directory); name != NULL; name = g_dir_read_name (directory)) {
    g_autofree char *path = g_build_filename (folder, name, NULL);
    g_autofree char *config = g_build_filename (path, "config.json", NULL);
    if (name[0] != '.' && g_file_test (config, G_FILE_TEST_EXISTS))
      g_ptr_array_add (entries, ragify_model_entry_read (path));
  }
  g_ptr_array_sort (entries, by_name);
  return entries;
}
