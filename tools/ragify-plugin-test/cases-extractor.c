/* Extractors: streams in, pieces out. SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conformance.h"

static const char plain[] =
    "A heading\n\nThe heron stands in shallow water. D\xc3\xa9j\xc3\xa0 vu.\n\nA second paragraph, "
    "with \"quotes\" and <angles>.\n";

typedef struct File {
  char *data;
  size_t size;
} File;

static File
read_sample (const Subject *subject)
{
  File file = { NULL, 0 };
  FILE *input = subject->sample != NULL ? fopen (subject->sample, "rb") : NULL;
  if (input == NULL) {
    file.size = sizeof plain - 1;
    file.data = malloc (file.size);
    memcpy (file.data, plain, file.size);
    return file;
  }
  for (size_t room = 0, got = 1; got > 0; file.size += got) {
    if (file.size == room) {
      room = room > 0 ? room * 2 : 65536;
      file.data = realloc (file.data, room);
      if (file.data == NULL)
        abort ();
    }
    got = fread (file.data + file.size, 1, room - file.size, input);
  }
  fclose (input);
  return file;
}

static const RagifyExtractorOperations *
operations_of (const RagifyKitInstance *instance)
{
  return ragify_kit_operations (instance);
}

static uint32_t
confidence (Subject *subject, RagifyKitInstance *instance, const char *type, RagifyStr uri, const void *head,
            size_t size)
{
  const RagifyExtractorAccepts args = {
    .struct_size = sizeof args, .media_type = ragify_str_from (type), .uri = uri, .head = { head, size }
  };
  RagifyKitCall *call = ragify_kit_call (instance, (RagifyKitFunction)operations_of (instance)->accepts, &args, 0);
  uint32_t value = 0;
  if (subject_succeeded (subject, call, "accepts"))
    value = ((const RagifyExtractorAcceptsResult *)call->result)->confidence;
  expect (subject, value <= 100, "a confidence of %u is none of 0..100", value);
  ragify_kit_call_free (call);
  return value;
}

static RagifyKitCall *
extract (const Subject *subject, RagifyKitInstance *instance, RagifyStream *stream)
{
  const RagifyExtractorExtract args = { .struct_size = sizeof args,
                                        .uri = ragify_str_from (subject->sample),
                                        .stream = stream };
  return ragify_kit_call (instance, (RagifyKitFunction)operations_of (instance)->extract, &args, 0);
}

/* All text of an extraction, one piece after the other; freed with free(). */
static char *
gather (Subject *subject, const RagifyKitCall *call, size_t file_size)
{
  size_t size = 1;
  uint64_t last = 0;
  for (size_t i = 0; i < call->item_count; i++)
    size += ((const RagifyPiece *)call->items[i])->text.size + 1;
  char *all = calloc (1, size);
  char *at = all;
  for (size_t i = 0; i < call->item_count; i++) {
    const RagifyPiece *piece = call->items[i];
    expect (subject, text_is_utf8 (piece->text), "a piece is not UTF-8");
    expect (subject, text_is_json_object (piece->metadata), "a piece's metadata is not one JSON object");
    expect (subject, piece->type >= RAGIFY_PIECE_HEADING && piece->type <= RAGIFY_PIECE_BREAK, "a piece of type %u",
            piece->type);
    expect (subject, piece->type != RAGIFY_PIECE_HEADING || (piece->level >= 1 && piece->level <= 6),
            "a heading of level %u", piece->level);
    expect (subject, piece->end >= piece->begin && piece->end <= file_size, "a piece from byte %llu to %llu of %zu",
            (unsigned long long)piece->begin, (unsigned long long)piece->end, file_size);
    expect (subject, piece->end == 0 || piece->begin >= last, "pieces are not in reading order");
    last = piece->end == 0 ? last : piece->begin;
    if (piece->text.size > 0)
      at = (char *)memcpy (at, piece->text.data, piece->text.size) + piece->text.size;
    *at++ = '\n';
  }
  return all;
}

static void
accepts_what_it_is_made_for (Subject *subject)
{
  RagifyKitInstance *instance = subject_open (subject);
  if (instance == NULL)
    return;
  File file = read_sample (subject);
  const size_t head = file.size < 4096 ? file.size : 4096;
  confidence (subject, instance, "", ragify_str (NULL, 0), NULL, 0);
  confidence (subject, instance, "application/x-nothing", ragify_str_from ("file:///x"), "\0\1\2\xff", 4);
  const uint32_t best =
      confidence (subject, instance, subject->sample == NULL ? "text/plain" : "",
                  ragify_str_from (subject->sample != NULL ? subject->sample : "file:///notes.txt"), file.data, head);
  if (subject->sample != NULL)
    expect (subject, best > 0, "it does not accept the sample");
  free (file.data);
  subject_close (subject, instance);
}

static void
pieces_do_not_depend_on_reads (Subject *subject)
{
  static const uint64_t reads[] = { 0, 1, 3, 1000 };
  RagifyKitInstance *instance = subject_open (subject);
  if (instance == NULL)
    return;
  File file = read_sample (subject);
  char *first = NULL;
  for (size_t i = 0; i < sizeof reads / sizeof reads[0]; i++) {
    RagifyStream *stream = ragify_kit_stream_new (file.data, file.size, reads[i], 0, 0);
    RagifyKitCall *call = extract (subject, instance, stream);
    if (subject->sample == NULL && call->code == RAGIFY_E_INVALID && call->hung == 0) {
      skip (subject, "it does not take plain text; give it a file with --sample");
    } else if (subject_succeeded (subject, call, "extract")) {
      char *text = gather (subject, call, file.size);
      expect (subject, first == NULL || strcmp (first, text) == 0, "reads of %llu bytes give another text",
              (unsigned long long)reads[i]);
      if (first == NULL)
        first = text;
      else
        free (text);
    }
    ragify_kit_call_free (call);
    ragify_kit_stream_free (stream);
  }
  free (first);
  free (file.data);
  subject_close (subject, instance);
}

static void
a_broken_stream_fails (Subject *subject)
{
  RagifyKitInstance *instance = subject_open (subject);
  if (instance == NULL)
    return;
  File file = read_sample (subject);
  RagifyStream *stream = ragify_kit_stream_new (file.data, file.size, 16, file.size / 2, RAGIFY_E_UNAVAILABLE);
  RagifyKitCall *call = extract (subject, instance, stream);
  if (subject_well_ended (subject, call, "extract"))
    expect (subject, call->code != RAGIFY_OK, "half of a file is taken for a whole one");
  ragify_kit_call_free (call);
  ragify_kit_stream_free (stream);
  free (file.data);
  subject_close (subject, instance);
}

static void
survives_any_file (Subject *subject)
{
  enum { SIZE = 300000 };
  RagifyKitInstance *instance = subject_open (subject);
  unsigned char *data = malloc (SIZE);
  uint32_t state = 1;
  for (int kind = 0; instance != NULL && data != NULL && kind < 4; kind++) {
    for (size_t i = 0; i < SIZE; i++) {
      state = state * 1664525u + 1013904223u;
      data[i] = kind == 0   ? 0
                : kind == 1 ? (unsigned char)(state >> 24)
                : kind == 2 ? 0xff
                            : "<[({\"'"[state >> 24 & 5];
    }
    const size_t size = kind == 3 ? SIZE : kind == 0 ? 0 : SIZE;
    RagifyStream *stream = ragify_kit_stream_new (data, size, 0, 0, 0);
    RagifyKitCall *call = extract (subject, instance, stream);
    if (subject_well_ended (subject, call, "extract of an odd file") && call->code == RAGIFY_OK)
      free (gather (subject, call, size));
    ragify_kit_call_free (call);
    ragify_kit_stream_free (stream);
  }
  free (data);
  subject_close (subject, instance);
}

#define EXTRACTOR RAGIFY_KIND_EXTRACTOR

const Case conformance_extractor_cases[] = {
  { "accepts what it is made for", "a confidence of 0 to 100 for any type and head, also for none",
    accepts_what_it_is_made_for, EXTRACTOR },
  { "pieces do not depend on reads", "UTF-8 pieces in reading order, the same however the stream is cut",
    pieces_do_not_depend_on_reads, EXTRACTOR },
  { "a broken stream fails", "where stream_read fails the extraction fails", a_broken_stream_fails, EXTRACTOR },
  { "survives any file", "any bytes are extracted or refused; whatever comes out is UTF-8", survives_any_file,
    EXTRACTOR },
  { NULL, NULL, NULL, NULL },
};
