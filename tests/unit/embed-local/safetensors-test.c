/* Safetensors files, sound and not. SPDX-License-Identifier: MIT */
#include "safetensors.h"

#include "encoder-error.h"
#include "model-folder.h"

#include <glib/gstdio.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static int
make_folder (void **state)
{
  *state = model_folder_new ();
  return 0;
}

static int
remove_folder (void **state)
{
  model_folder_free (*state);
  return 0;
}

static RagifySafetensors *
open_in (const char *folder, GError **error)
{
  g_autofree char *path = g_build_filename (folder, "model.safetensors", NULL);

  return ragify_safetensors_open (path, error);
}

/* The file is refused with a message that names it and says `reason`. */
static void
assert_refused (const char *folder, RagifyEncoderError code, const char *reason)
{
  g_autoptr (GError) error = NULL;
  RagifySafetensors *const file = open_in (folder, &error);

  assert_null (file);
  assert_true (g_error_matches (error, RAGIFY_ENCODER_ERROR, (int)code));
  if (strstr (error->message, "model.safetensors: ") == NULL || strstr (error->message, reason) == NULL)
    fail_msg ("expected '%s' in: %s", reason, error->message);
}

typedef struct {
  const char *header;
  gsize data_size;
  const char *reason;
} Fault;

static void
faulty_headers_are_refused_with_the_reason (void **state)
{
  static const Fault faults[] = {
    { "{", 0, "the header is not JSON" },
    { "[]", 0, "the header is not a JSON object" },
    { "{\"a\":1}", 0, "unknown dtype ''" },
    { "{\"a\":{\"dtype\":\"F31\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "unknown dtype 'F31'" },
    { "{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4, "expected a shape" },
    { "{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", 4, "dimension 0" },
    { "{\"a\":{\"dtype\":\"F32\",\"shape\":[1.5],\"data_offsets\":[0,4]}}", 4, "dimension 0" },
    { "{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296,4],\"data_offsets\":[0,4]}}", 4, "dimension 1" },
    { "{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,4]}}", 4, "expected a shape" },
    { "{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, "expected data_offsets" },
    { "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]}}", 4, "expected data_offsets" },
    { "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,\"4\"]}}", 4, "expected data_offsets" },
    { "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]}}", 4, "lie outside" },
    { "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 4, "lie outside of the file's 4 bytes" },
    { "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}", 4,
      "takes 8 bytes, its data_offsets give it 4" },
    { "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
      "\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[4,12]}}",
      12, "they overlap" },
    { "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
      "\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[8,12]}}",
      12, "there is a gap" },
    { "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 8, "expected its end, 8" },
    { "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
      "\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}",
      4, "duplicate" },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (faults); i++) {
    model_folder_write_safetensors (*state, faults[i].header, faults[i].data_size);
    assert_refused (*state, RAGIFY_ENCODER_ERROR_FORMAT, faults[i].reason);
  }
}

static void
lengths_that_do_not_fit_are_refused (void **state)
{
  static const char longer[] = "\x40\0\0\0\0\0\0\0{}";
  static const char huge[] = "\xff\xff\xff\xff\xff\xff\xff\x7f{}";
  static const char wrapping[] = "\xf8\xff\xff\xff\xff\xff\xff\xff{}";

  model_folder_write (*state, "model.safetensors", longer, sizeof longer - 1);
  assert_refused (*state, RAGIFY_ENCODER_ERROR_FORMAT, "the header claims 64 bytes, the file has 2");
  model_folder_write (*state, "model.safetensors", huge, sizeof huge - 1);
  assert_refused (*state, RAGIFY_ENCODER_ERROR_FORMAT, "the header claims");
  model_folder_write (*state, "model.safetensors", wrapping, sizeof wrapping - 1);
  assert_refused (*state, RAGIFY_ENCODER_ERROR_FORMAT, "the header claims");
  model_folder_write (*state, "model.safetensors", "abc", 3);
  assert_refused (*state, RAGIFY_ENCODER_ERROR_FORMAT, "expected at least 8 bytes, found 3");
}

static void
a_file_cut_anywhere_is_refused (void **state)
{
  const ModelShape shape = { .hidden = 8, .heads = 2, .layers = 1, .intermediate = 8, .positions = 8 };
  g_autofree char *path = g_build_filename (*state, "model.safetensors", NULL);
  g_autofree char *whole = NULL;
  gsize size = 0;

  model_folder_fill (*state, &shape);
  assert_true (g_file_get_contents (path, &whole, &size, NULL));
  for (gsize cut = 1; cut < size; cut += 101) {
    g_autoptr (GError) error = NULL;

    model_folder_write (*state, "model.safetensors", whole, (gssize)cut);
    assert_null (open_in (*state, &error));
    assert_true (g_error_matches (error, RAGIFY_ENCODER_ERROR, RAGIFY_ENCODER_ERROR_FORMAT));
  }
}

static void
what_is_no_file_is_refused (void **state)
{
  g_autofree char *path = g_build_filename (*state, "model.safetensors", NULL);

  assert_refused (*state, RAGIFY_ENCODER_ERROR_FILE, "No such file");
  model_folder_write (*state, "model.safetensors", "", 0);
  assert_refused (*state, RAGIFY_ENCODER_ERROR_FILE, "No data");
  g_unlink (path);
  model_folder_write (*state, "model.safetensors/inner", "x", 1);
  assert_refused (*state, RAGIFY_ENCODER_ERROR_FILE, "directory");
}

static void
tensors_are_found_by_name_and_shape (void **state)
{
  static const char header[] = "{\"__metadata__\":{\"format\":\"pt\"},"
                               "\"v\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,12]},"
                               "\"m\":{\"dtype\":\"BF16\",\"shape\":[2,3],\"data_offsets\":[12,24]},"
                               "\"i\":{\"dtype\":\"I64\",\"shape\":[1],\"data_offsets\":[24,32]}}";
  g_autoptr (RagifySafetensors) file = NULL;
  RagifyTensor tensor = { 0 };
  g_autoptr (GError) absent = NULL;
  g_autoptr (GError) other_shape = NULL;
  g_autoptr (GError) other_type = NULL;

  model_folder_write_safetensors (*state, header, 32);
  file = open_in (*state, NULL);
  assert_non_null (file);
  assert_true (ragify_safetensors_has (file, "v"));
  assert_false (ragify_safetensors_has (file, "__metadata__"));
  assert_true (ragify_safetensors_find (file, "v", 0, 3, &tensor, NULL));
  assert_int_equal (tensor.rows, 1);
  assert_true (ragify_safetensors_find (file, "m", 2, 3, &tensor, NULL));
  assert_int_equal (tensor.type, RAGIFY_TENSOR_BF16);

  assert_false (ragify_safetensors_find (file, "w", 2, 3, &tensor, &absent));
  assert_non_null (strstr (absent->message, "expected a tensor 'w', found none"));
  assert_false (ragify_safetensors_find (file, "m", 3, 2, &tensor, &other_shape));
  assert_non_null (strstr (other_shape->message, "expected shape [3, 2], found [2, 3]"));
  assert_false (ragify_safetensors_find (file, "i", 0, 1, &tensor, &other_type));
  assert_true (g_error_matches (other_type, RAGIFY_ENCODER_ERROR, RAGIFY_ENCODER_ERROR_UNSUPPORTED));
  assert_int_equal (tensor.rows, 2);
}

static void
sixteen_bit_numbers_are_read_exactly (void **state)
{
  static const guint16 halves[] = { 0x3c00, 0xc000, 0x7bff, 0x0001, 0x03ff, 0x8400, 0x0000 };
  static const float from_half[] = { 1, -2, 65504, 0x1p-24F, 0x1.ff8p-15F, -0x1p-14F, 0 };
  static const guint16 brains[] = { 0x3f80, 0xc000, 0x4049 };
  static const float from_brain[] = { 1, -2, 3.140625F };
  float values[7];
  const RagifyTensor half = { .data = (const guint8 *)halves, .type = RAGIFY_TENSOR_F16, .rows = 1, .columns = 7 };
  const RagifyTensor brain = { .data = (const guint8 *)brains, .type = RAGIFY_TENSOR_BF16, .rows = 1, .columns = 3 };

  ragify_tensor_read_row (&half, 0, values);
  assert_memory_equal (values, from_half, sizeof from_half);
  ragify_tensor_read_row (&brain, 0, values);
  assert_memory_equal (values, from_brain, sizeof from_brain);
}

int
main (void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup_teardown (faulty_headers_are_refused_with_the_reason, make_folder, remove_folder),
    cmocka_unit_test_setup_teardown (lengths_that_do_not_fit_are_refused, make_folder, remove_folder),
    cmocka_unit_test_setup_teardown (a_file_cut_anywhere_is_refused, make_folder, remove_folder),
    cmocka_unit_test_setup_teardown (what_is_no_file_is_refused, make_folder, remove_folder),
    cmocka_unit_test_setup_teardown (tensors_are_found_by_name_and_shape, make_folder, remove_folder),
    cmocka_unit_test (sixteen_bit_numbers_are_read_exactly),
  };

  cmocka_set_message_output (CM_OUTPUT_TAP);
  return cmocka_run_group_tests_name ("safetensors", tests, NULL, NULL);
}
