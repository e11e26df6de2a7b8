/* SPDX-License-Identifier: MIT */
#include "safetensors.h"

#include "encoder-error.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
  LENGTH_BYTES = 8,
  MAX_DIMENSIONS = 8,
};

/* The reference implementation's own bound: a longer header is an attack or not a header. */
static const guint64 max_header = 100 * 1000 * 1000;

typedef struct {
  char *name;
  const char *type_name;
  gsize type_size;
  gsize shape[MAX_DIMENSIONS];
  gsize dimensions;
  guint64 begin; /* bytes behind the header */
  guint64 end;
} Entry;

struct _RagifySafetensors {
  char *path;
  guint8 *map;
  gsize size;
  gsize data_start;
  GArray *entries;   /* of Entry, in the order of the file */
  GHashTable *index; /* name to Entry, both owned by `entries` */
};

typedef struct {
  const char *name;
  gsize size;
} TypeSize;

static const TypeSize type_sizes[] = {
  { "F32", 4 }, { "F16", 2 }, { "BF16", 2 }, { "F64", 8 },     { "I64", 8 },
  { "I32", 4 }, { "I16", 2 }, { "I8", 1 },   { "U64", 8 },     { "U32", 4 },
  { "U16", 2 }, { "U8", 1 },  { "BOOL", 1 }, { "F8_E4M3", 1 }, { "F8_E5M2", 1 },
};

static void
entry_clear (gpointer data)
{
  Entry *entry = data;

  g_free (entry->name);
}

static gboolean fail (const RagifySafetensors *self, GError **error, const char *format, ...) G_GNUC_PRINTF (3, 4);

static gboolean
fail (const RagifySafetensors *self, GError **error, const char *format, ...)
{
  g_autofree char *message = NULL;
  va_list arguments;

  va_start (arguments, format);
  message = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  g_set_error (error, RAGIFY_ENCODER_ERROR, RAGIFY_ENCODER_ERROR_FORMAT, "%s: %s", self->path, message);
  return FALSE;
}

static gboolean
map_file (RagifySafetensors *self, GError **error)
{
  const int fd = open (self->path, O_RDONLY | O_CLOEXEC);
  struct stat status = { 0 };
  void *map = MAP_FAILED;
  int saved = errno;

  if (fd >= 0) {
    if (fstat (fd, &status) != 0)
      saved = errno;
    else if (!S_ISREG (status.st_mode))
      saved = EISDIR;
    else if (status.st_size == 0)
      saved = ENODATA;
    else {
      map = mmap (NULL, (gsize)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
      saved = errno;
    }
    close (fd);
  }
  if (map == MAP_FAILED) {
    g_set_error (error, RAGIFY_ENCODER_ERROR, RAGIFY_ENCODER_ERROR_FILE,
                 "%s: cannot be read: %s; expected the weights of a model (safetensors)", self->path,
                 g_strerror (saved));
    return FALSE;
  }
  self->map = map;
  self->size = (gsize)status.st_size;
  return TRUE;
}

static gsize
find_type_size (const char *name, const char **interned)
{
  for (gsize i = 0; i < G_N_ELEMENTS (type_sizes); i++)
    if (strcmp (type_sizes[i].name, name) == 0) {
      *interned = type_sizes[i].name;
      return type_sizes[i].size;
    }
  return 0;
}

/* A number of the header: JSON integers that are not negative, nothing else. */
static gboolean
read_number (const json_t *value, guint64 *number)
{
  if (!json_is_integer (value) || json_integer_value (value) < 0)
    return FALSE;
  *number = (guint64)json_integer_value (value);
  return TRUE;
}

static gboolean
read_shape (const RagifySafetensors *self, const json_t *value, Entry *entry, guint64 *bytes, GError **error)
{
  const gsize dimensions = json_array_size (value);

  if (!json_is_array (value) || dimensions > MAX_DIMENSIONS)
    return fail (self, error, "tensor '%s': expected a shape of up to %d numbers", entry->name, MAX_DIMENSIONS);
  *bytes = entry->type_size;
  for (gsize i = 0; i < dimensions; i++) {
    guint64 length;

    if (!read_number (json_array_get (value, i), &length) || !g_uint64_checked_mul (bytes, *bytes, length))
      return fail (self, error, "tensor '%s': dimension %" G_GSIZE_FORMAT " of its shape is not a length", entry->name,
                   i);
    entry->shape[i] = (gsize)length;
  }
  entry->dimensions = dimensions;
  return TRUE;
}

static gboolean
read_entry (const RagifySafetensors *self, const json_t *value, Entry *entry, GError **error)
{
  const json_t *const offsets = json_object_get (value, "data_offsets");
  const char *const type = json_string_value (json_object_get (value, "dtype"));
  const guint64 available = self->size - self->data_start;
  guint64 expected = 0;

  entry->type_size = type == NULL ? 0 : find_type_size (type, &entry->type_name);
  if (entry->type_size == 0)
    return fail (self, error, "tensor '%s': unknown dtype '%s'", entry->name, type == NULL ? "" : type);
  if (!read_shape (self, json_object_get (value, "shape"), entry, &expected, error))
    return FALSE;
  if (json_array_size (offsets) != 2 || !read_number (json_array_get (offsets, 0), &entry->begin) ||
      !read_number (json_array_get (offsets, 1), &entry->end))
    return fail (self, error, "tensor '%s': expected data_offsets [begin, end]", entry->name);
  if (entry->begin > entry->end || entry->end > available)
    return fail (self, error,
                 "tensor '%s': data_offsets [%" G_GUINT64_FORMAT ", %" G_GUINT64_FORMAT
                 "] lie outside of the file's %" G_GUINT64_FORMAT " bytes of data (is the file truncated?)",
                 entry->name, entry->begin, entry->end, available);
  if (entry->end - entry->begin != expected)
    return fail (self, error,
                 "tensor '%s': its shape takes %" G_GUINT64_FORMAT
                 " bytes, its data_offsets give it %" G_GUINT64_FORMAT,
                 entry->name, expected, entry->end - entry->begin);
  return TRUE;
}

static int
compare_entries (gconstpointer a, gconstpointer b)
{
  const Entry *const first = a;
  const Entry *const second = b;

  if (first->begin != second->begin)
    return first->begin < second->begin ? -1 : 1;
  return first->end < second->end ? -1 : first->end > second->end;
}

/* Tensors must cover the data exactly: what lies in a gap or in two tensors at once was not meant by any writer. */
static gboolean
check_coverage (const RagifySafetensors *self, GError **error)
{
  const guint64 available = self->size - self->data_start;
  guint64 position = 0;

  for (guint i = 0; i < self->entries->len; i++) {
    const Entry *const entry = &g_array_index (self->entries, Entry, i);

    if (entry->begin != position)
      return fail (self, error,
                   "tensor '%s' begins at byte %" G_GUINT64_FORMAT " of the data, expected %" G_GUINT64_FORMAT
                   ", where the one before it ends (%s)",
                   entry->name, entry->begin, position, entry->begin < position ? "they overlap" : "there is a gap");
    position = entry->end;
  }
  if (position != available)
    return fail (self, error,
                 "the tensors end at byte %" G_GUINT64_FORMAT " of the data, expected its end, %" G_GUINT64_FORMAT,
                 position, available);
  return TRUE;
}

static gboolean
read_entries (RagifySafetensors *self, json_t *header, GError **error)
{
  const char *name;
  json_t *value;

  json_object_foreach (header, name, value)
  {
    Entry entry = { .name = NULL };

    if (strcmp (name, "__metadata__") == 0)
      continue;
    entry.name = g_strdup (name);
    if (!read_entry (self, value, &entry, error)) {
      entry_clear (&entry);
      return FALSE;
    }
    g_array_append_val (self->entries, entry);
  }
  g_array_sort (self->entries, compare_entries);
  for (guint i = 0; i < self->entries->len; i++) {
    Entry *const entry = &g_array_index (self->entries, Entry, i);

    g_hash_table_insert (self->index, entry->name, entry);
  }
  return check_coverage (self, error);
}

static gboolean
read_header (RagifySafetensors *self, GError **error)
{
  guint64 length;
  json_error_t json_error;
  json_t *header;
  gboolean sound;

  if (self->size < LENGTH_BYTES)
    return fail (self, error, "expected at least %d bytes, found %" G_GSIZE_FORMAT, LENGTH_BYTES, self->size);
  memcpy (&length, self->map, sizeof length);
  length = GUINT64_FROM_LE (length);
  if (length > max_header || length > self->size - LENGTH_BYTES)
    return fail (self, error,
                 "the header claims %" G_GUINT64_FORMAT " bytes, the file has %" G_GSIZE_FORMAT
                 " behind the length (is the file truncated?)",
                 length, self->size - LENGTH_BYTES);
  self->data_start = LENGTH_BYTES + (gsize)length;
  header = json_loadb ((const char *)self->map + LENGTH_BYTES, (gsize)length, JSON_REJECT_DUPLICATES, &json_error);
  if (header == NULL)
    return fail (self, error, "the header is not JSON: %s (byte %d)", json_error.text, json_error.position);
  sound = json_is_object (header) ? read_entries (self, header, error)
                                  : fail (self, error, "the header is not a JSON object");
  json_decref (header);
  return sound;
}

RagifySafetensors *
ragify_safetensors_open (const char *path, GError **error)
{
  g_autoptr (RagifySafetensors) self = g_new0 (RagifySafetensors, 1);

  self->path = g_strdup (path);
  self->entries = g_array_new (FALSE, TRUE, sizeof (Entry));
  g_array_set_clear_func (self->entries, entry_clear);
  self->index = g_hash_table_new (g_str_hash, g_str_equal);
  if (!map_file (self, error) || !read_header (self, error))
    return NULL;
  return g_steal_pointer (&self);
}

void
ragify_safetensors_close (RagifySafetensors *self)
{
  if (self->map != NULL)
    munmap (self->map, self->size);
  g_hash_table_unref (self->index);
  g_array_unref (self->entries);
  g_free (self->path);
  g_free (self);
}

gboolean
ragify_safetensors_has (const RagifySafetensors *self, const char *name)
{
  return g_hash_table_contains (self->index, name);
}

static char *
describe_shape (const gsize *shape, gsize dimensions)
{
  GString *text = g_string_new ("[");

  for (gsize i = 0; i < dimensions; i++)
    g_string_append_printf (text, "%s%" G_GSIZE_FORMAT, i == 0 ? "" : ", ", shape[i]);
  g_string_append_c (text, ']');
  return g_string_free (text, FALSE);
}

static gboolean
find_type (const RagifySafetensors *self, const Entry *entry, RagifyTensorType *type, GError **error)
{
  if (strcmp (entry->type_name, "F32") == 0)
    *type = RAGIFY_TENSOR_F32;
  else if (strcmp (entry->type_name, "F16") == 0)
    *type = RAGIFY_TENSOR_F16;
  else if (strcmp (entry->type_name, "BF16") == 0)
    *type = RAGIFY_TENSOR_BF16;
  else {
    g_set_error (error, RAGIFY_ENCODER_ERROR, RAGIFY_ENCODER_ERROR_UNSUPPORTED,
                 "%s: tensor '%s' has dtype %s, expected F32, F16 or BF16", self->path, entry->name, entry->type_name);
    return FALSE;
  }
  return TRUE;
}

gboolean
ragify_safetensors_find (const RagifySafetensors *self, const char *name, gsize rows, gsize columns,
                         RagifyTensor *tensor, GError **error)
{
  const Entry *const entry = g_hash_table_lookup (self->index, name);
  const gsize expected[] = { rows, columns };
  const gsize *const wanted = rows == 0 ? expected + 1 : expected;
  const gsize dimensions = rows == 0 ? 1 : 2;
  RagifyTensorType type;

  if (entry == NULL)
    return fail (self, error, "expected a tensor '%s', found none of that name", name);
  if (entry->dimensions != dimensions || memcmp (entry->shape, wanted, dimensions * sizeof *wanted) != 0) {
    g_autofree char *expected_text = describe_shape (wanted, dimensions);
    g_autofree char *found_text = describe_shape (entry->shape, entry->dimensions);

    return fail (self, error, "tensor '%s': expected shape %s, found %s", name, expected_text, found_text);
  }
  if (!find_type (self, entry, &type, error))
    return FALSE;
  *tensor = (RagifyTensor){
    .data = self->map + self->data_start + entry->begin,
    .type = type,
    .rows = rows == 0 ? 1 : rows,
    .columns = columns,
  };
  return TRUE;
}

const guint8 *
ragify_safetensors_get_data (const RagifySafetensors *self, gsize *size)
{
  *size = self->size;
  return self->map;
}

void
ragify_safetensors_forget_pages (RagifySafetensors *self)
{
  madvise (self->map, self->size, MADV_DONTNEED);
}

/* IEEE 754 half to single precision: subnormal halves are normal floats, so their exponent is worked out. */
static float
float_from_half (guint16 half)
{
  const guint32 sign = (guint32)(half & 0x8000) << 16;
  guint32 exponent = (half >> 10) & 0x1f;
  guint32 mantissa = half & 0x3ff;
  guint32 bits;
  float value;

  if (exponent == 0 && mantissa == 0)
    bits = sign;
  else if (exponent == 31)
    bits = sign | 0x7f800000U | mantissa << 13;
  else {
    if (exponent == 0) {
      const guint32 shift = (guint32)__builtin_clz (mantissa) - 21;

      mantissa = (mantissa << shift) & 0x3ff;
      exponent = 1 - shift; /* wraps below zero; the sum below wraps back */
    }
    bits = sign | (exponent + 112) << 23 | mantissa << 13;
  }
  memcpy (&value, &bits, sizeof value);
  return value;
}

void
ragify_tensor_read_row (const RagifyTensor *tensor, gsize row, float *values)
{
  const gsize columns = tensor->columns;

  if (tensor->type == RAGIFY_TENSOR_F32) {
    memcpy (values, tensor->data + row * columns * sizeof *values, columns * sizeof *values);
    return;
  }
  for (gsize i = 0; i < columns; i++) {
    guint16 half;

    memcpy (&half, tensor->data + (row * columns + i) * sizeof half, sizeof half);
    half = GUINT16_FROM_LE (half);
    if (tensor->type == RAGIFY_TENSOR_BF16) {
      const guint32 bits = (guint32)half << 16;

      memcpy (values + i, &bits, sizeof bits);
    } else
      values[i] = float_from_half (half);
  }
}
