/*
 * The published vectors of BERT's tokenizer, from $RAGIFY_TEST_DATA (../shared/data).
 *
 * SPDX-License-Identifier: MIT
 */
#include "tokenizer.h"

#include "model-folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum {
  VECTORS = 46,
  MAX_IDS = 4096,
};

static char *
read_file (const char *name)
{
  const char *const root = g_getenv ("RAGIFY_TEST_DATA");
  g_autofree char *path =
      g_build_filename (root == NULL ? "../shared/data" : root, "vectors", "bert_tokenizer_vectors", name, NULL);
  char *text = NULL;

  g_file_get_contents (path, &text, NULL, NULL);
  return text;
}

static void
published_vectors_are_reproduced (void **state)
{
  g_autofree char *vocabulary = read_file ("bert-base-uncased-vocab.txt");
  if (vocabulary == NULL)
    skip ();
  char *const folder = model_folder_new ();
  g_autofree char *inputs = read_file ("ggml-vocab-bert-bge.gguf.inp");
  g_autofree char *outputs = read_file ("ggml-vocab-bert-bge.gguf.out");
  g_auto (GStrv) texts = g_strsplit (inputs, "\n__ggml_vocab_test__\n", -1);
  g_auto (GStrv) lines = g_strsplit (outputs, "\n", -1);
  g_autoptr (RagifyTokenizer) tokenizer = NULL;
  guint32 ids[MAX_IDS];

  model_folder_write (folder, "vocab.txt", vocabulary, -1);
  tokenizer = ragify_tokenizer_new (folder, RAGIFY_ARCHITECTURE_BERT, 30522, NULL);
  assert_non_null (tokenizer);
  assert_int_equal (g_strv_length (texts), VECTORS + 1); /* behind the last separator there is nothing */
  for (guint i = 0; i < VECTORS; i++) {
    const gsize count = ragify_tokenizer_encode (tokenizer, texts[i], strlen (texts[i]), ids, MAX_IDS);
    GString *const found = g_string_new (NULL);

    for (gsize k = 0; k < count; k++)
      g_string_append_printf (found, " %u", ids[k]);
    if (strcmp (found->str, lines[i]) != 0)
      fail_msg ("'%s': expected%s, found%s", texts[i], lines[i], found->str);
    g_string_free (found, TRUE);
  }
  model_folder_free (folder);
}

int
main (void)
{
  const struct CMUnitTest tests[] = { cmocka_unit_test (published_vectors_are_reproduced) };
  g_autofree char *outputs = read_file ("ggml-vocab-bert-bge.gguf.out");

  if (outputs == NULL) {
    puts ("1..0 # SKIP the vectors are not there; RAGIFY_TEST_DATA says where the test data lie");
    return 0;
  }
  cmocka_set_message_output (CM_OUTPUT_TAP);
  return cmocka_run_group_tests_name ("tokenizer-vectors", tests, NULL, NULL);
}
