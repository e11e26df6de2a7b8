/* SPDX-License-Identifier: MIT */
#include "tests/fuzz/replay.h"

#include <glib.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void
fuzz_require (int holds, const char *what)
{
  if (holds)
    return;
  fprintf (stderr, "does not hold: %s\n", what);
  abort ();
}

#ifndef RAGIFY_FUZZ_LIBFUZZER

/* A few bytes changed, taken out, doubled or taken from the other end. */
static void
mutate (GByteArray *bytes, GRand *random)
{
  static const char liked[] = "[]{}=:,\";\\#$\n\r\t \x00\xff\xc3\xed\xa0"
                              "-0.9eEtrufalsn1";
  const guint8 byte = (guint8)liked[g_rand_int_range (random, 0, sizeof liked - 1)];
  const guint at = bytes->len == 0 ? 0 : (guint)g_rand_int_range (random, 0, (gint32)bytes->len);
  const guint length = (guint)g_rand_int_range (random, 1, 9);

  switch (bytes->len == 0 ? 1 : g_rand_int_range (random, 0, 4)) {
  case 0:
    bytes->data[at] = byte;
    break;
  case 1:
    g_byte_array_append (bytes, &byte, 1);
    memmove (bytes->data + at + 1, bytes->data + at, bytes->len - at - 1);
    bytes->data[at] = byte;
    break;
  case 2:
    g_byte_array_remove_range (bytes, at, MIN (bytes->len - at, length));
    break;
  default:
    bytes->data[at] = bytes->data[bytes->len - 1 - at];
  }
}

static bool
replay (const char *path, unsigned int rounds, GRand *random)
{
  g_autofree char *contents = NULL;
  gsize size = 0;

  if (!g_file_get_contents (path, &contents, &size, NULL))
    return false;
  LLVMFuzzerTestOneInput ((const uint8_t *)contents, size);
  for (unsigned int i = 0; i < rounds; i++) {
    g_autoptr (GByteArray) bytes = g_byte_array_new ();
    int changes = g_rand_int_range (random, 1, 9);

    g_byte_array_append (bytes, (const guint8 *)contents, (guint)MIN (size, 4096));
    while (changes-- > 0)
      mutate (bytes, random);
    LLVMFuzzerTestOneInput (bytes->data, bytes->len);
  }
  return true;
}

int
main (int argc, char **argv)
{
  GRand *random = g_rand_new_with_seed (1);
  const unsigned int rounds = argc < 3 ? 0 : (unsigned int)g_ascii_strtoull (argv[1], NULL, 10);
  unsigned int failed = 0;

  if (argc < 3) {
    fprintf (stderr, "usage: %s ROUNDS FILE…\n", argv[0]);
    return 2;
  }
  printf ("1..%d\n", argc - 2);
  for (int i = 2; i < argc; i++) {
    const bool read = replay (argv[i], rounds, random);
    g_autofree char *name = g_path_get_basename (argv[i]);

    printf ("%s %d - %s\n", read ? "ok" : "not ok", i - 1, name);
    failed += read ? 0 : 1;
  }
  g_rand_free (random);
  return failed == 0 ? 0 : 1;
}

#endif
