/* SPDX-License-Identifier: MIT */
#include <glib/gstdio.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "core/ingest/job-private.h"

#define KEEP_EVERY_US (G_USEC_PER_SEC / 4)

struct RagifyJobPlace {
  char *file;
  guint64 kept_at;
  gboolean there; /* the file */
};

RagifyJobPlace *
ragify_job_place_new (const char *file)
{
  RagifyJobPlace *place = g_new0 (RagifyJobPlace, 1);
  place->file = g_strdup (file);
  place->there = file != NULL;
  return place;
}

void
ragify_job_place_free (RagifyJobPlace *place)
{
  g_free (place->file);
  g_free (place);
}

static guint64
number_of (const json_t *object, const char *name)
{
  return (guint64)MAX (json_integer_value (json_object_get (object, name)), 0);
}

/* What an earlier run of the host has written, or anybody: nothing is believed that does not fit together. */
static gboolean
read_place (const json_t *json, RagifyCutPlace *found)
{
  const json_t *units = json_object_get (json, "units"), *unit = NULL;
  *found = (RagifyCutPlace){ .begin = number_of (json, "begin"),
                             .looked = number_of (json, "looked"),
                             .chunks = number_of (json, "chunks"),
                             .fresh = (guint)number_of (json, "fresh"),
                             .units = g_array_new (FALSE, FALSE, sizeof (RagifyCutUnit)) };
  guint64 past = found->begin;
  gboolean well = json_is_array (units) && json_array_size (units) >= found->fresh;
  size_t i;
  json_array_foreach ((json_t *)units, i, unit)
  {
    const RagifyCutUnit one = { (guint64)json_integer_value (json_array_get (unit, 0)),
                                (guint64)json_integer_value (json_array_get (unit, 1)),
                                (guint)json_integer_value (json_array_get (unit, 2)) };
    well = well && one.begin >= past && one.end > one.begin;
    past = one.end;
    g_array_append_val (found->units, one);
  }
  const guint64 first = found->units->len > 0 ? g_array_index (found->units, RagifyCutUnit, 0).begin : found->looked;
  return well && first == found->begin && past <= found->looked;
}

gboolean
ragify_job_place_find (const RagifyJobPlace *place, const RagifyUuid *hash, guint64 staged, RagifyCutPlace *found)
{
  char text[37];
  ragify_uuid_write (hash, text);
  json_t *json = place->file != NULL && staged > 0 ? json_load_file (place->file, 0, NULL) : NULL;
  const char *of = json_string_value (json_object_get (json, "hash"));
  gboolean well = of != NULL && strcmp (of, text) == 0 && read_place (json, found);
  if (well && found->chunks > staged) /* what the store has was lost, or is not what it was */
    well = FALSE;
  if (!well && of != NULL && found->units != NULL)
    ragify_cut_place_clear (found);
  json_decref (json);
  return well;
}

/* Whole or not at all; where it fails there is only more to do after a restart, and so nothing is waited for. */
static void
write_file (const char *file, const char *text)
{
  g_autofree char *fresh = g_strdup_printf ("%s.new", file);
  FILE *out = fopen (fresh, "we");
  if (out == NULL)
    return;
  const gboolean well = fputs (text, out) >= 0;
  if (fclose (out) == 0 && well)
    g_rename (fresh, file);
}

void
ragify_job_place_keep (RagifyJobPlace *place, const RagifyUuid *hash, const RagifyCutPlace *kept)
{
  char text[37];
  if (place->file == NULL || ragify_now () - place->kept_at < KEEP_EVERY_US || kept->units == NULL)
    return;
  json_t *units = json_array ();
  for (guint i = 0; i < kept->units->len; i++) {
    const RagifyCutUnit *unit = &g_array_index (kept->units, RagifyCutUnit, i);
    json_array_append_new (
        units, json_pack ("[I, I, I]", (json_int_t)unit->begin, (json_int_t)unit->end, (json_int_t)unit->weight));
  }
  ragify_uuid_write (hash, text);
  json_t *json = json_pack ("{s:s, s:I, s:I, s:I, s:I, s:o}", "hash", text, "begin", (json_int_t)kept->begin, "looked",
                            (json_int_t)kept->looked, "chunks", (json_int_t)kept->chunks, "fresh",
                            (json_int_t)kept->fresh, "units", units);
  char *dumped = json_dumps (json, JSON_COMPACT);
  g_autofree char *folder = g_path_get_dirname (place->file);
  g_mkdir_with_parents (folder, 0700);
  if (dumped != NULL)
    write_file (place->file, dumped);
  free (dumped);
  json_decref (json);
  place->kept_at = ragify_now ();
  place->there = TRUE;
}

void
ragify_job_place_forget (RagifyJobPlace *place)
{
  if (place->there)
    g_unlink (place->file);
  place->there = FALSE;
}
