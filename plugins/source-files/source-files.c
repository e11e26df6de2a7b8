/* source-files: a folder of text files as a source, searched by words.
 *
 * SPDX-License-Identifier: MIT
 */
#include <glib.h>
#include <pthread.h>
#include <ragify/ragify.h>
#include <string.h>

#include "credit.h"
#include "passages.h"
#include "settings.h"

/* How long after one look at the folder a change is waited for with the next. */
#define SETTLE_US 50000u

typedef struct FilesSource {
  const RagifyHost *host;
  RagifyContext *context;
  FilesTree tree;
  guint64 refresh_us;
  pthread_mutex_t lock; /* guards what follows, and the watch */
  FilesPassages *passages;
  FilesLeftOut left_out;
  guint64 updated;  /* when it was last brought in step, … */
  guint64 took_us;  /* … and how long that took */
  gboolean changed; /* since then */
  gboolean lost;    /* the folder could not be looked at then: every query tries again */
  guint64 updates;
} FilesSource;

static const RagifyKey keys[] = {
  { .name = "root",
    .type = RAGIFY_KEY_PATH,
    .flags = RAGIFY_KEY_REQUIRED,
    .summary = "The folder; nothing outside it is read." },
  { .name = "include",
    .type = RAGIFY_KEY_LIST,
    .default_value = "**/*.md; **/*.txt; **/*.rst",
    .summary = "Which files, as patterns over the path from the root; ** stands for any folders." },
  { .name = "exclude", .type = RAGIFY_KEY_LIST, .summary = "Which of these not." },
  { .name = "ignore-files",
    .type = RAGIFY_KEY_LIST,
    .default_value = ".gitignore; .ragifyignore",
    .summary =
        "Names of files that say, in any folder, which files below it are left out, as gitignore(5) describes." },
  { .name = "symlinks",
    .type = RAGIFY_KEY_ENUM,
    .default_value = "never",
    .choices = "never|inside",
    .summary =
        "never: symbolic links are left out. inside: relative ones are followed where they stay below the root." },
  { .name = "max-file-size",
    .type = RAGIFY_KEY_SIZE,
    .default_value = "4MiB",
    .minimum = "1KiB",
    .maximum = "1GiB",
    .summary = "Larger files are left out." },
  { .name = "max-files",
    .type = RAGIFY_KEY_INT,
    .default_value = "20000",
    .minimum = "1",
    .maximum = "1000000",
    .summary = "How many files at most; the words of all are kept in memory." },
  { .name = "max-size",
    .type = RAGIFY_KEY_SIZE,
    .default_value = "512MiB",
    .minimum = "1KiB",
    .maximum = "64GiB",
    .summary = "Of all files together; what is beyond is left out." },
  { .name = "max-watches",
    .type = RAGIFY_KEY_INT,
    .default_value = "8192",
    .unit = "folders",
    .minimum = "0",
    .maximum = "1000000",
    .summary = "Folders that are watched, so that changes are seen at once; 0: none." },
  { .name = "refresh",
    .type = RAGIFY_KEY_DURATION,
    .default_value = "30s",
    .minimum = "1s",
    .maximum = "1d",
    .summary = "How old the view of the folder may be before a query looks for changes that no watch told of." },
};

static void
say (const FilesSource *source, guint32 level, const char *text)
{
  source->host->log (source->context, level, ragify_str_from (text));
}

static GPtrArray *
get_patterns (const RagifyHost *host, RagifyContext *context, const char *key)
{
  GPtrArray *patterns = g_ptr_array_new_with_free_func ((GDestroyNotify)files_pattern_free);
  g_auto (GStrv) texts = ragify_setting_list (host, context, key);
  for (char **text = texts; *text != NULL; text++)
    g_ptr_array_add (patterns, files_pattern_new (*text));
  return patterns;
}

static int32_t
create (const RagifyHost *host, RagifyContext *context, const RagifyInstance *which, void **instance)
{
  FilesSource *source = g_new0 (FilesSource, 1);
  source->host = host;
  source->context = context;
  source->tree.root = ragify_setting_text (host, context, "root");
  source->tree.include = get_patterns (host, context, "include");
  source->tree.exclude = get_patterns (host, context, "exclude");
  source->tree.ignore_files = ragify_setting_list (host, context, "ignore-files");
  g_autofree char *symlinks = ragify_setting_text (host, context, "symlinks");
  source->tree.follow = strcmp (symlinks, "inside") == 0;
  source->tree.max_files = (guint)ragify_setting_int (host, context, "max-files");
  source->tree.watch = files_watch_new ((guint)ragify_setting_int (host, context, "max-watches"));
  host->config_size (context, "max-size", &source->tree.max_size);
  host->config_size (context, "max-file-size", &source->tree.max_file_size);
  host->config_duration (context, "refresh", &source->refresh_us);
  pthread_mutex_init (&source->lock, NULL);
  *instance = source;
  return RAGIFY_OK;
}

static void
destroy (void *instance)
{
  FilesSource *source = instance;
  g_clear_pointer (&source->passages, files_passages_free);
  pthread_mutex_destroy (&source->lock);
  g_free (source->tree.root);
  files_watch_free (source->tree.watch);
  g_ptr_array_unref (source->tree.include);
  g_ptr_array_unref (source->tree.exclude);
  g_strfreev (source->tree.ignore_files);
  g_free (source);
}

/* "3 too large, 1 unreadable", or "none". */
static char *
describe (const FilesLeftOut *left_out)
{
  static const char *const reasons[N_FILES_REASONS] = { "too large", "too many", "unreadable",
                                                        "no text",   "unsteady", "too deep" };
  GString *text = g_string_new (NULL);
  for (guint i = 0; i < N_FILES_REASONS; i++)
    if (left_out->files[i] > 0)
      g_string_append_printf (text, "%s%u %s", text->len > 0 ? ", " : "", left_out->files[i], reasons[i]);
  return g_string_free (text->len > 0 ? text : g_string_append (text, "none"), FALSE);
}

/* With the lock held. */
static gboolean
update (FilesSource *source, GError **error)
{
  const guint64 begun = source->host->clock_us ();
  const FilesLeftOut before = source->left_out;
  source->changed = FALSE;
  files_watch_changed (source->tree.watch); /* what was told of up to here is seen now */
  const gint changed = files_passages_update (source->passages, &source->tree, &source->left_out, error);
  source->updated = source->host->clock_us ();
  source->took_us = source->updated - begun;
  source->updates++;
  source->lost = changed < 0;
  if (changed > 0 || (changed == 0 && memcmp (&before, &source->left_out, sizeof before) != 0)) {
    g_autofree char *left_out = describe (&source->left_out);
    g_autofree char *text =
        g_strdup_printf ("%s: %d files changed, %" G_GUINT64_FORMAT " passages; left out: %s", source->tree.root,
                         changed, files_passages_count (source->passages), left_out);
    say (source, RAGIFY_LOG_INFO, text);
  }
  return changed >= 0;
}

/* With the lock held. What changes all the time is looked at for a tenth of the time at most. */
static gboolean
is_due (FilesSource *source)
{
  const guint64 age = source->host->clock_us () - source->updated;
  source->changed = files_watch_changed (source->tree.watch) || source->changed;
  return source->lost || age > source->refresh_us || (source->changed && age > MAX (SETTLE_US, 10 * source->took_us));
}

static void
start (void *instance, RagifyCall *call, const RagifyStart *args)
{
  FilesSource *source = instance;
  g_autoptr (GError) error = NULL;
  pthread_mutex_lock (&source->lock);
  source->passages = files_passages_new (&error);
  const gboolean well = source->passages != NULL && update (source, &error);
  pthread_mutex_unlock (&source->lock);
  if (well)
    source->host->call_done (call, NULL);
  else
    source->host->call_fail (call, RAGIFY_E_UNAVAILABLE, ragify_str_from (error->message), 0);
}

/* ---- queries ---- */

static RagifyStr
copy (FilesSource *source, RagifyCall *call, const char *text)
{
  const gsize size = strlen (text);
  char *memory = source->host->call_alloc (call, MAX (size, 1));
  if (memory == NULL)
    return ragify_str (NULL, 0);
  memcpy (memory, text, size);
  return ragify_str (memory, size);
}

static void
fill_chunk (FilesSource *source, RagifyCall *call, const FilesPassage *passage, RagifyChunk *chunk)
{
  g_autofree char *path = g_build_filename (source->tree.root, passage->path, NULL);
  g_autofree char *uri = g_filename_to_uri (path, NULL, NULL);
  *chunk = (RagifyChunk){
    .struct_size = sizeof *chunk,
    .document_id = copy (source, call, passage->path),
    .content = copy (source, call, passage->content),
    .title = copy (source, call, passage->path),
    .uri = copy (source, call, uri != NULL ? uri : ""),
    .ordinal = passage->ordinal,
    .begin = passage->begin,
    .end = passage->end,
    .updated_at = passage->modified,
    .score = passage->score,
  };
}

static void
answer (FilesSource *source, RagifyCall *call, GPtrArray *found)
{
  RagifyChunk *chunks = source->host->call_alloc (call, MAX (found->len, 1) * sizeof *chunks);
  if (chunks == NULL) {
    source->host->call_fail (call, RAGIFY_E_EXHAUSTED, ragify_str_from ("the call's memory limit is reached"), 0);
    return;
  }
  for (guint i = 0; i < found->len; i++)
    fill_chunk (source, call, g_ptr_array_index (found, i), &chunks[i]);
  const RagifySourceResult result = { .struct_size = sizeof result,
                                      .chunks = { .items = chunks, .count = found->len, .stride = sizeof *chunks } };
  source->host->call_done (call, &result);
}

static void
query (void *instance, RagifyCall *call, const RagifySourceQuery *args)
{
  FilesSource *source = instance;
  g_autoptr (GError) error = NULL;
  pthread_mutex_lock (&source->lock);
  const gboolean there = !is_due (source) || update (source, &error);
  g_autoptr (GPtrArray) found =
      there ? files_passages_search (source->passages, args->text.data, args->text.size, args->top_k, &error) : NULL;
  pthread_mutex_unlock (&source->lock);
  if (found != NULL)
    answer (source, call, found);
  else
    source->host->call_fail (call, there ? RAGIFY_E_INTERNAL : RAGIFY_E_UNAVAILABLE, ragify_str_from (error->message),
                             0);
}

/* ---- scan: whole files, for ingest ---- */

static gboolean
emit_file (FilesSource *source, RagifyCall *call, RagifyCredit *credit, FilesEntry *entry)
{
  gsize size = 0;
  FilesReason why;
  g_autofree char *text = files_tree_read (&source->tree, entry, &size, &why);
  if (text == NULL)
    return TRUE;
  const FilesPassage whole = { .path = entry->path, .content = text, .end = size, .modified = entry->modified };
  RagifyChunk chunk;
  fill_chunk (source, call, &whole, &chunk);
  return ragify_credit_emit (credit, &chunk);
}

/* The cursor is the path of the last file that was emitted. FALSE: it was cancelled. */
static gboolean
scan_entries (FilesSource *source, RagifyCall *call, const RagifySourceScan *args, const GPtrArray *entries,
              RagifySourceScanResult *result)
{
  RagifyCredit credit;
  g_autofree char *cursor = g_strndup (args->cursor.size > 0 ? args->cursor.data : "", args->cursor.size);
  guint emitted = 0;
  gboolean go_on = TRUE;
  ragify_credit_begin (&credit, source->host, call);
  for (guint i = 0; i < entries->len && go_on; i++) {
    FilesEntry *entry = g_ptr_array_index (entries, i);
    if (strcmp (entry->path, cursor) <= 0 || entry->modified <= args->since)
      continue;
    go_on = emit_file (source, call, &credit, entry);
    if (++emitted == args->limit && i + 1 < entries->len) {
      result->cursor = copy (source, call, entry->path);
      break;
    }
  }
  ragify_credit_end (&credit);
  return go_on;
}

static void
scan (void *instance, RagifyCall *call, const RagifySourceScan *args)
{
  FilesSource *source = instance;
  g_autoptr (GError) error = NULL;
  FilesLeftOut left_out = { .files = { 0 } };
  FilesTree tree = source->tree;
  tree.watch = NULL; /* it is the queries' */
  g_autoptr (GPtrArray) entries = files_tree_list (&tree, left_out.files, &error);
  RagifySourceScanResult result = { .struct_size = sizeof result };
  if (entries == NULL)
    source->host->call_fail (call, RAGIFY_E_UNAVAILABLE, ragify_str_from (error->message), 0);
  else if (scan_entries (source, call, args, entries, &result))
    source->host->call_done (call, &result);
  else
    source->host->call_fail (call, RAGIFY_E_CANCELLED, ragify_str_from ("cancelled"), 0);
}

static void
probe (void *instance, RagifyCall *call, const RagifyNothing *args)
{
  FilesSource *source = instance;
  if (!g_file_test (source->tree.root, G_FILE_TEST_IS_DIR)) {
    g_autofree char *text = g_strdup_printf ("%s is not a folder that can be read", source->tree.root);
    source->host->call_fail (call, RAGIFY_E_UNAVAILABLE, ragify_str_from (text), 0);
    return;
  }
  pthread_mutex_lock (&source->lock);
  g_autofree char *text = g_strdup_printf ("%" G_GUINT64_FORMAT " passages", files_passages_count (source->passages));
  pthread_mutex_unlock (&source->lock);
  const RagifyProbeResult result = { .struct_size = sizeof result, .detail = copy (source, call, text) };
  source->host->call_done (call, &result);
}

static void
stats (void *instance, RagifyCall *call, const RagifyNothing *args)
{
  FilesSource *source = instance;
  pthread_mutex_lock (&source->lock);
  const struct {
    const char *name;
    guint64 value;
  } values[] = {
    { "files", files_passages_files (source->passages) },
    { "passages", files_passages_count (source->passages) },
    { "watched_folders", files_watch_count (source->tree.watch) },
    { "unwatched", files_watch_is_partial (source->tree.watch) },
    { "updates", source->updates },
    { "left_out_too_large", source->left_out.files[FILES_TOO_LARGE] },
    { "left_out_too_many", source->left_out.files[FILES_TOO_MANY] },
    { "left_out_unreadable", source->left_out.files[FILES_UNREADABLE] },
    { "left_out_no_text", source->left_out.files[FILES_NO_TEXT] },
    { "left_out_unsteady", source->left_out.files[FILES_UNSTEADY] },
    { "left_out_too_deep", source->left_out.files[FILES_TOO_DEEP] },
  };
  pthread_mutex_unlock (&source->lock);
  RagifyPair *pairs = source->host->call_alloc (call, sizeof *pairs * G_N_ELEMENTS (values));
  RagifyStatsResult result = { .struct_size = sizeof result, .values.items = pairs };
  for (guint i = 0; pairs != NULL && i < G_N_ELEMENTS (values); i++)
    pairs[result.values.count++] =
        (RagifyPair){ .name = ragify_str_from (values[i].name),
                      .value = { .type = RAGIFY_VALUE_INT, .integer = (int64_t)values[i].value } };
  source->host->call_done (call, &result);
}

static const RagifySourceOperations operations = {
  .struct_size = sizeof operations,
  .query = query,
  .scan = scan,
};

static const RagifyComponent component = {
  .struct_size = sizeof component,
  .kind = RAGIFY_KIND_SOURCE,
  .name = "files",
  .summary = "Searches the text files of a folder by words.",
  .run_class = RAGIFY_RUN_WORKER,
  .max_parallel = 4,
  .schema = { .keys = keys, .count = G_N_ELEMENTS (keys), .stride = sizeof (RagifyKey) },
  .operations = &operations,
  .create = create,
  .start = start,
  .destroy = destroy,
  .probe = probe,
  .stats = stats,
};

static const RagifyComponent *const components[] = { &component, NULL };

static const RagifyPlugin plugin = {
  .magic = RAGIFY_PLUGIN_MAGIC,
  .abi_major = RAGIFY_ABI_MAJOR,
  .abi_minor_needed = RAGIFY_NEEDS_MINOR,
  .struct_size = sizeof plugin,
  .id = "org.ragify.source-files",
  .version = RAGIFY_VERSION,
  .licence = "MIT",
  .summary = "Folders of text files as sources.",
  .url = "",
  .components = components,
};

const RagifyPlugin *
ragify_plugin_query (void)
{
  return &plugin;
}
