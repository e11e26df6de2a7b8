/* What a semantic cache would answer, and how much of that rightly: hit rate and precision by threshold.
 *
 * usage: semantic-cache EMBED_PLUGIN MODEL_FOLDER [DATA_FOLDER [QUERIES]]
 *
 * Questions with known intents (banking77, clinc150) come one after the other in a fixed random order. Each is compared
 * with those before it that were not answered from the cache themselves, as the host does. A hit counts as right when
 * both have the same intent; two that are out of scope never count as right. QUERIES of each set are taken (4000). */
#include "core/pipeline/semantic.h"
#include "kit.h"

#include <glib.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BATCH 32u

typedef struct {
  char *text, *intent;
} Question;

typedef struct {
  const char *name;
  GArray *questions; /* Question */
  float *vectors;
  guint dimension;
} Set;

static const double thresholds[] = { 0.80, 0.85, 0.90, 0.92, 0.94, 0.95, 0.96, 0.97, 0.98, 0.99 };

static void
die (const char *what, const char *why)
{
  fprintf (stderr, "semantic-cache: %s: %s\n", what, why);
  exit (1);
}

static void
add (GArray *questions, const char *text, const char *intent)
{
  const Question question = { g_strdup (text), g_strdup (intent) };
  g_array_append_val (questions, question);
}

/* text,category with quotes where the text has a comma; no line breaks inside. */
static void
read_csv (const char *path, GArray *questions)
{
  g_autofree char *text = NULL;
  g_autoptr (GError) error = NULL;
  if (!g_file_get_contents (path, &text, NULL, &error))
    die (path, error->message);
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);
  for (guint i = 1; lines[i] != NULL; i++) {
    char *line = g_strstrip (lines[i]);
    char *comma = strrchr (line, ',');
    if (comma == NULL)
      continue;
    *comma = '\0';
    g_autofree char *plain = g_strdup (line);
    if (*line == '"' && comma > line + 1 && comma[-1] == '"') {
      comma[-1] = '\0';
      g_auto (GStrv) parts = g_strsplit (line + 1, "\"\"", -1);
      g_free (plain);
      plain = g_strjoinv ("\"", parts);
    }
    add (questions, plain, comma + 1);
  }
}

static void
read_json (const char *path, GArray *questions)
{
  json_error_t error;
  json_t *json = json_load_file (path, 0, &error), *list;
  const char *name;
  if (json == NULL)
    die (path, error.text);
  json_object_foreach (json, name, list)
  {
    for (gsize i = 0; i < json_array_size (list); i++) {
      const json_t *pair = json_array_get (list, i);
      add (questions, json_string_value (json_array_get (pair, 0)), json_string_value (json_array_get (pair, 1)));
    }
  }
  json_decref (json);
}

/* The first `limit` of a fixed random order. */
static void
shuffle (GArray *questions, guint limit)
{
  g_autoptr (GRand) random = g_rand_new_with_seed (77);
  for (guint i = questions->len; i > 1; i--) {
    const guint other = (guint)g_rand_int_range (random, 0, (gint32)i);
    const Question question = g_array_index (questions, Question, i - 1);
    g_array_index (questions, Question, i - 1) = g_array_index (questions, Question, other);
    g_array_index (questions, Question, other) = question;
  }
  g_array_set_size (questions, MIN (questions->len, limit));
}

static void
embed (RagifyKitInstance *embedder, Set *set)
{
  const RagifyEmbedderOperations *operations = ragify_kit_operations (embedder);
  for (guint first = 0; first < set->questions->len; first += BATCH) {
    const guint count = MIN (BATCH, set->questions->len - first);
    RagifyStr texts[BATCH];
    for (guint i = 0; i < count; i++)
      texts[i] = ragify_str_from (g_array_index (set->questions, Question, first + i).text);
    const RagifyEmbedderEmbed args = { .struct_size = sizeof args,
                                       .purpose = RAGIFY_PURPOSE_QUERY,
                                       .texts = { .items = texts, .count = count } };
    RagifyKitCall *call = ragify_kit_call (embedder, (RagifyKitFunction)operations->embed, &args, 0);
    if (call->code != RAGIFY_OK)
      die ("embed", call->message);
    const RagifyVectors *vectors = &((const RagifyEmbedderEmbedResult *)call->result)->vectors;
    if (set->vectors == NULL) {
      set->dimension = vectors->dimension;
      set->vectors = g_new0 (float, (gsize)set->questions->len * set->dimension);
    }
    memcpy (set->vectors + (gsize)first * set->dimension, vectors->items,
            (gsize)count * set->dimension * sizeof (float));
    ragify_kit_call_free (call);
  }
}

/* Vectors come with length 1. Four sums, so that the compiler can use wide registers. */
static float
dot (const float *a, const float *b, guint dimension)
{
  float sums[16] = { 0 };
  for (guint i = 0; i + 16 <= dimension; i += 16)
    for (guint k = 0; k < 16; k++)
      sums[k] += a[i + k] * b[i + k];
  float sum = 0;
  for (guint k = 0; k < 16; k++)
    sum += sums[k];
  return sum;
}

static void
simulate (const Set *set, double threshold)
{
  const guint total = set->questions->len;
  g_autofree guint *kept = g_new (guint, total);
  guint n_kept = 0, hits = 0, right = 0;
  for (guint i = 0; i < total; i++) {
    const float *own = set->vectors + (gsize)i * set->dimension;
    float best = -2;
    guint nearest = 0;
    for (guint k = 0; k < n_kept; k++) {
      const float near = dot (own, set->vectors + (gsize)kept[k] * set->dimension, set->dimension);
      if (near > best) {
        best = near;
        nearest = kept[k];
      }
    }
    if (n_kept == 0 || (double)best < threshold) {
      kept[n_kept++] = i;
      continue;
    }
    const Question *asked = &g_array_index (set->questions, Question, i);
    const Question *cached = &g_array_index (set->questions, Question, nearest);
    hits++;
    right += strcmp (asked->intent, cached->intent) == 0 &&
             (strcmp (asked->intent, "oos") != 0 || strcmp (asked->text, cached->text) == 0);
  }
  char precision[16] = "-";
  if (hits > 0)
    g_snprintf (precision, sizeof precision, "%.1f %%", 100.0 * right / hits);
  printf ("| %s | %.2f | %.1f %% | %s | %.1f |\n", set->name, threshold, 100.0 * hits / total, precision,
          1000.0 * (hits - right) / total);
}

static void
run (RagifyKitInstance *embedder, Set *set, guint limit)
{
  shuffle (set->questions, limit);
  embed (embedder, set);
  for (guint i = 0; i < G_N_ELEMENTS (thresholds); i++)
    simulate (set, thresholds[i]);
  for (guint i = 0; i < set->questions->len; i++) {
    g_free (g_array_index (set->questions, Question, i).text);
    g_free (g_array_index (set->questions, Question, i).intent);
  }
  g_array_unref (set->questions);
  g_free (set->vectors);
}

/* What a look-up costs the host beside the embedding: the mean of a thousand that find nothing. */
static void
measure (guint entries, guint dimension)
{
  RagifySemantic *semantic = ragify_semantic_new (entries);
  const RagifyTierKey scope = { 0 };
  g_autofree float *vector = g_new0 (float, dimension);
  g_autoptr (GRand) random = g_rand_new_with_seed (77);
  const RagifyVectors vectors = { .items = vector, .count = 1, .dimension = dimension };
  RagifyTierKey found = { 0 };
  double cosine;
  for (guint i = 0; i < entries; i++) {
    const RagifyTierKey key = { .bytes = { (guint8)i, (guint8)(i >> 8), (guint8)(i >> 16) } };
    for (guint k = 0; k < dimension; k++)
      vector[k] = (float)g_rand_double_range (random, -1, 1);
    ragify_semantic_add (semantic, &scope, &vectors, &key);
  }
  vector[0] = 10;
  const clock_t began = clock ();
  for (guint i = 0; i < 1000; i++)
    (void)ragify_semantic_find (semantic, &scope, &vectors, 0.99, &found, &cosine);
  printf ("look-up among %u: %.0f us of CPU\n", entries, (double)(clock () - began) / CLOCKS_PER_SEC * 1e3);
  ragify_semantic_free (semantic);
}

int
main (int argc, char **argv)
{
  if (argc < 3)
    die ("usage", "semantic-cache EMBED_PLUGIN MODEL_FOLDER [DATA_FOLDER [QUERIES]]");
  const char *environment = g_getenv ("RAGIFY_TEST_DATA");
  const char *data = argc > 3 ? argv[3] : environment != NULL ? environment : "../shared/data";
  const guint limit = argc > 4 ? (guint)strtoul (argv[4], NULL, 10) : 4000;
  g_autofree char *model = g_strconcat ("model=", argv[2], NULL);
  const char *config[] = { model, NULL };
  RagifyKit *kit = ragify_kit_new (NULL);
  RagifyKitInstance *embedder = ragify_kit_open (kit, argv[1], RAGIFY_KIND_EMBEDDER, "local", config, NULL);
  if (embedder == NULL)
    die (argv[1], ragify_kit_error (kit));
  Set banking = { .name = "banking77", .questions = g_array_new (FALSE, FALSE, sizeof (Question)) };
  Set clinc = { .name = "clinc150", .questions = g_array_new (FALSE, FALSE, sizeof (Question)) };
  g_autofree char *train = g_build_filename (data, "queries/querylog_banking77/train.csv", NULL);
  g_autofree char *test = g_build_filename (data, "queries/querylog_banking77/test.csv", NULL);
  g_autofree char *full = g_build_filename (data, "queries/querylog_clinc150/data_full.json", NULL);
  read_csv (train, banking.questions);
  read_csv (test, banking.questions);
  read_json (full, clinc.questions);
  printf ("| questions | threshold | hit rate | precision | wrong per 1,000 questions |\n|---|---|---|---|---|\n");
  run (embedder, &banking, limit);
  run (embedder, &clinc, limit);
  ragify_kit_close (embedder);
  ragify_kit_free (kit);
  measure (2000, 384);
  measure (20000, 384);
  return 0;
}
