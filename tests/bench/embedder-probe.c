/*
 * The encoder at the end of a pipe, for checks and measurements by scripts in other languages.
 *
 *     embedder-probe MODEL_FOLDER [PRECISION [KERNEL]]
 *
 * On start it prints a line about the model: the microseconds that loading took, then kernel, dimension, limit and
 * fingerprint. Then it obeys lines of standard input, each answered by one line:
 *     load FILE    takes its texts from a JSON array of strings                  the number of texts
 *     tokens FILE  writes their tokens as a JSON array of arrays                  ok
 *     embed FILE   embeds them in one call and writes the floats                  ok
 *     check        compares with the reference in double precision                the smallest cosine
 *     time         embeds each text by a call of its own                          CPU microseconds per text
 *     time-batch   embeds all of them in one call                                 CPU microseconds per text
 *     time-calls N embeds them by calls of N texts                                CPU microseconds per text
 *     time-tokens  tokenizes each                                                 CPU microseconds per text
 *
 * SPDX-License-Identifier: MIT
 */
#include "encoder.h"
#include "reference-encoder.h"
#include "tokenizer.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct {
  RagifyEncoder *encoder;
  RagifyTokenizer *tokenizer;
  const char *folder;
  json_t *strings; /* holds the bytes of `texts` */
  RagifyText *texts;
  gsize count;
  float *vectors;
} Probe;

static double
clock_us (clockid_t clock)
{
  struct timespec time;

  clock_gettime (clock, &time);
  return (double)time.tv_sec * 1e6 + (double)time.tv_nsec / 1e3;
}

static gboolean
load_texts (Probe *probe, const char *path)
{
  json_error_t error;
  json_t *const strings = json_load_file (path, JSON_ALLOW_NUL, &error);
  gsize i;
  json_t *string;

  if (!json_is_array (strings))
    return FALSE;
  json_decref (probe->strings);
  probe->strings = strings;
  probe->count = json_array_size (strings);
  probe->texts = g_renew (RagifyText, probe->texts, probe->count);
  probe->vectors = g_renew (float, probe->vectors, probe->count *ragify_encoder_get_dimension (probe->encoder));
  json_array_foreach (strings, i, string) probe->texts[i] =
      (RagifyText){ .data = json_string_value (string), .size = json_string_length (string) };
  printf ("%" G_GSIZE_FORMAT "\n", probe->count);
  return TRUE;
}

static gboolean
write_tokens (const Probe *probe, const char *path)
{
  FILE *const file = fopen (path, "w");
  g_autofree guint32 *ids = NULL;

  if (file == NULL)
    return FALSE;
  fputc ('[', file);
  for (gsize i = 0; i < probe->count; i++) {
    const RagifyText *const text = &probe->texts[i];
    const gsize count = ragify_tokenizer_count (probe->tokenizer, text->data, text->size);

    ids = g_renew (guint32, ids, count + 1);
    ragify_tokenizer_encode (probe->tokenizer, text->data, text->size, ids, count);
    fputs (i == 0 ? "[" : ",\n[", file);
    for (gsize k = 0; k < count; k++)
      fprintf (file, "%s%u", k == 0 ? "" : ",", ids[k]);
    fputc (']', file);
  }
  fputs ("]\n", file);
  return fclose (file) == 0 && puts ("ok") >= 0;
}

static gboolean
embed (const Probe *probe, gsize first, gsize count)
{
  g_autoptr (GError) error = NULL;
  float *const vectors = probe->vectors + first * ragify_encoder_get_dimension (probe->encoder);

  if (ragify_encoder_embed (probe->encoder, probe->texts + first, count, NULL, NULL, vectors, NULL, &error))
    return TRUE;
  fprintf (stderr, "embedder-probe: %s\n", error->message);
  return FALSE;
}

static gboolean
write_vectors (const Probe *probe, const char *path)
{
  const gsize floats = probe->count * ragify_encoder_get_dimension (probe->encoder);
  FILE *const file = fopen (path, "wb");
  gboolean written;

  if (file == NULL)
    return FALSE;
  written = embed (probe, 0, probe->count) && fwrite (probe->vectors, sizeof (float), floats, file) == floats;
  return fclose (file) == 0 && written && puts ("ok") >= 0;
}

static gboolean
check (const Probe *probe)
{
  g_autoptr (ReferenceEncoder) reference = reference_encoder_new (probe->folder);

  printf ("%.9f\n", reference_encoder_compare (reference, probe->encoder, 1, probe->texts, probe->count));
  return TRUE;
}

static gboolean
measure_calls (const Probe *probe, gsize size)
{
  const double start = clock_us (CLOCK_THREAD_CPUTIME_ID);

  for (gsize i = 0; i < probe->count; i += size)
    if (!embed (probe, i, MIN (size, probe->count - i)))
      return FALSE;
  printf ("%.3f\n", (clock_us (CLOCK_THREAD_CPUTIME_ID) - start) / (double)probe->count);
  return TRUE;
}

static gboolean
measure (const Probe *probe, const char *what)
{
  const double start = clock_us (CLOCK_THREAD_CPUTIME_ID);

  if (strcmp (what, "time-batch") == 0 && !embed (probe, 0, probe->count))
    return FALSE;
  for (gsize i = 0; i < probe->count && strcmp (what, "time-batch") != 0; i++)
    if (strcmp (what, "time-tokens") == 0)
      ragify_encoder_count_tokens (probe->encoder, probe->texts[i].data, probe->texts[i].size);
    else if (!embed (probe, i, 1))
      return FALSE;
  printf ("%.3f\n", (clock_us (CLOCK_THREAD_CPUTIME_ID) - start) / (double)probe->count);
  return TRUE;
}

static gboolean
obey (Probe *probe, char *line)
{
  char *const argument = strchr (g_strchomp (line), ' ');

  if (argument != NULL)
    *argument = '\0';
  if (strcmp (line, "load") == 0 && argument != NULL)
    return load_texts (probe, argument + 1);
  if (strcmp (line, "tokens") == 0 && argument != NULL)
    return write_tokens (probe, argument + 1);
  if (strcmp (line, "embed") == 0 && argument != NULL)
    return write_vectors (probe, argument + 1);
  if (strcmp (line, "check") == 0)
    return check (probe);
  if (strcmp (line, "time-calls") == 0 && argument != NULL)
    return measure_calls (probe, MAX (strtoul (argument + 1, NULL, 10), 1));
  return g_str_has_prefix (line, "time") && measure (probe, line);
}

static gboolean
probe_open (Probe *probe, int argc, char **argv, GError **error)
{
  const RagifyEncoderOptions options = {
    .precision = argc > 2 ? argv[2] : NULL,
    .kernel = argc > 3 ? argv[3] : NULL,
  };
  const double start = clock_us (CLOCK_MONOTONIC);
  RagifyModelConfig config;

  probe->folder = argv[1];
  probe->encoder = ragify_encoder_open (argv[1], &options, error);
  if (probe->encoder == NULL)
    return FALSE;
  printf ("%.0f %s %" G_GSIZE_FORMAT " %" G_GSIZE_FORMAT " %s\n", clock_us (CLOCK_MONOTONIC) - start,
          ragify_encoder_get_kernel (probe->encoder), ragify_encoder_get_dimension (probe->encoder),
          ragify_encoder_get_max_tokens (probe->encoder), ragify_encoder_get_fingerprint (probe->encoder));
  if (!ragify_model_config_read (argv[1], &config, error))
    return FALSE;
  probe->tokenizer = ragify_tokenizer_new (argv[1], config.architecture, config.vocabulary_size, error);
  return probe->tokenizer != NULL;
}

int
main (int argc, char **argv)
{
  Probe probe = { 0 };
  g_autoptr (GError) error = NULL;
  char line[4096];
  gboolean sound = TRUE;

  if (argc < 2) {
    fputs ("usage: embedder-probe MODEL_FOLDER [PRECISION [KERNEL]]\n", stderr);
    return 2;
  }
  setvbuf (stdout, NULL, _IOLBF, 0);
  if (!probe_open (&probe, argc, argv, &error)) {
    fprintf (stderr, "embedder-probe: %s\n", error->message);
    return 1;
  }
  while (sound && fgets (line, sizeof line, stdin) != NULL)
    sound = obey (&probe, line);
  if (!sound)
    fprintf (stderr, "embedder-probe: '%s' failed\n", line);
  g_clear_pointer (&probe.encoder, ragify_encoder_free);
  g_clear_pointer (&probe.tokenizer, ragify_tokenizer_free);
  json_decref (probe.strings);
  g_free (probe.texts);
  g_free (probe.vectors);
  return sound ? 0 : 1;
}
