/* SPDX-License-Identifier: MIT */
#include "writer.h"

#include <math.h>

#define ONES 0x0101010101010101ULL
#define HIGHS 0x8080808080808080ULL

static void
reserve (RagifyWriter *writer, gsize more)
{
  if (G_LIKELY (more <= writer->capacity - writer->size))
    return;
  g_assert (!writer->fixed);
  writer->capacity = MAX (writer->capacity * 2, writer->size + more);
  writer->data = g_realloc (writer->data, writer->capacity);
}

/* Marks (in the high bit of each byte) bytes that JSON wants escaped. May mark a byte above a marked one as well, so
 * that only "none" is exact: enough to skip eight at once. */
static guint64
escapes_in (guint64 word)
{
  const guint64 quote = word ^ (ONES * '"');
  const guint64 backslash = word ^ (ONES * '\\');
  const guint64 control = (word - ONES * 0x20) & ~word;
  return (control | ((quote - ONES) & ~quote) | ((backslash - ONES) & ~backslash)) & HIGHS;
}

static gboolean
needs_escape (guint8 byte)
{
  return byte < 0x20 || byte == '"' || byte == '\\';
}

gsize
ragify_writer_plain_run (const char *data, gsize size)
{
  gsize at = 0;
  for (; at + 8 <= size; at += 8) {
    guint64 word;
    memcpy (&word, data + at, 8);
    if (escapes_in (word) != 0)
      break;
  }
  while (at < size && !needs_escape ((guint8)data[at]))
    at++;
  return at;
}

static gsize
write_escape (char *out, guint8 byte)
{
  static const char hex[] = "0123456789abcdef";
  static const char names[0x20] = { ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r' };
  out[0] = '\\';
  if (byte >= 0x20) {
    out[1] = (char)byte;
    return 2;
  }
  if (names[byte] != '\0') {
    out[1] = names[byte];
    return 2;
  }
  memcpy (out + 1, "u00", 3);
  out[4] = hex[byte >> 4];
  out[5] = hex[byte & 15];
  return 6;
}

/* Days since 1970-01-01 to a date of the proleptic Gregorian calendar, with years that begin in March so that the leap
 * day is the last of its year. */
static void
civil_from_days (gint64 days, gint64 *year, guint *month, guint *day)
{
  days += 719468;
  const gint64 era = (days >= 0 ? days : days - 146096) / 146097;
  const guint of_era = (guint)(days - era * 146097);
  const guint year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
  const guint of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const guint shifted = (5 * of_year + 2) / 153;
  *day = of_year - (153 * shifted + 2) / 5 + 1;
  *month = shifted < 10 ? shifted + 3 : shifted - 9;
  *year = (gint64)year_of_era + era * 400 + (*month <= 2 ? 1 : 0);
}

static void
write_digits (char *out, guint64 value, guint digits)
{
  for (guint i = digits; i > 0; i--, value /= 10)
    out[i - 1] = (char)('0' + value % 10);
}

void
ragify_writer_init (RagifyWriter *writer, gsize capacity)
{
  *writer = (RagifyWriter){ .data = g_malloc (MAX (capacity, 64)), .capacity = MAX (capacity, 64) };
}

void
ragify_writer_init_fixed (RagifyWriter *writer, char *memory, gsize capacity)
{
  *writer = (RagifyWriter){ .data = memory, .capacity = capacity, .fixed = TRUE };
}

void
ragify_writer_clear (RagifyWriter *writer)
{
  g_free (writer->data);
  *writer = (RagifyWriter){ 0 };
}

char *
ragify_writer_steal (RagifyWriter *writer, gsize *size)
{
  char *data = writer->data;
  *size = writer->size;
  *writer = (RagifyWriter){ 0 };
  return data;
}

void
ragify_writer_bytes (RagifyWriter *writer, const void *data, gsize size)
{
  if (size == 0)
    return;
  reserve (writer, size);
  memcpy (writer->data + writer->size, data, size);
  writer->size += size;
}

void
ragify_writer_string (RagifyWriter *writer, RagifyStr text)
{
  reserve (writer, text.size + 2);
  writer->data[writer->size++] = '"';
  for (gsize at = 0; at < text.size;) {
    const gsize run = ragify_writer_plain_run (text.data + at, text.size - at);
    ragify_writer_bytes (writer, text.data + at, run);
    at += run;
    if (at == text.size)
      break;
    reserve (writer, 6);
    writer->size += write_escape (writer->data + writer->size, (guint8)text.data[at++]);
  }
  reserve (writer, 1);
  writer->data[writer->size++] = '"';
}

void
ragify_writer_uint (RagifyWriter *writer, guint64 value)
{
  char digits[20];
  gsize at = sizeof digits;
  do {
    digits[--at] = (char)('0' + value % 10);
    value /= 10;
  } while (value != 0);
  ragify_writer_bytes (writer, digits + at, sizeof digits - at);
}

void
ragify_writer_number (RagifyWriter *writer, double value, guint decimals)
{
  static const double powers[] = { 1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9 };
  if (!(fabs (value) < 1e9)) {
    char text[G_ASCII_DTOSTR_BUF_SIZE];
    ragify_writer_text (writer, g_ascii_dtostr (text, sizeof text, value));
    return;
  }
  const guint64 scaled = (guint64)(fabs (value) * powers[decimals] + 0.5);
  const guint64 scale = (guint64)powers[decimals];
  if (value < 0 && scaled != 0)
    ragify_writer_bytes (writer, "-", 1);
  ragify_writer_uint (writer, scaled / scale);
  if (scaled % scale == 0)
    return;
  char fraction[10] = ".";
  write_digits (fraction + 1, scaled % scale, decimals);
  gsize size = decimals + 1;
  while (fraction[size - 1] == '0')
    size--;
  ragify_writer_bytes (writer, fraction, size);
}

void
ragify_writer_time (RagifyWriter *writer, gint64 wall_us)
{
  if (wall_us == 0) {
    ragify_writer_bytes (writer, "null", 4);
    return;
  }
  gint64 seconds = wall_us / G_USEC_PER_SEC;
  gint64 fraction = wall_us % G_USEC_PER_SEC;
  if (fraction < 0) {
    fraction += G_USEC_PER_SEC;
    seconds--;
  }
  gint64 days = seconds / 86400;
  gint64 second = seconds % 86400;
  if (second < 0) {
    second += 86400;
    days--;
  }
  gint64 year;
  guint month, day;
  civil_from_days (days, &year, &month, &day);
  if (year < 0 || year > 9999) {
    ragify_writer_bytes (writer, "null", 4);
    return;
  }
  char text[] = "\"0000-00-00T00:00:00.000000Z\"";
  write_digits (text + 1, (guint64)year, 4);
  write_digits (text + 6, month, 2);
  write_digits (text + 9, day, 2);
  write_digits (text + 12, (guint64)second / 3600, 2);
  write_digits (text + 15, (guint64)second / 60 % 60, 2);
  write_digits (text + 18, (guint64)second % 60, 2);
  write_digits (text + 21, (guint64)fraction, 6);
  if (fraction == 0)
    memcpy (text + 20, "Z\"", 3);
  ragify_writer_bytes (writer, text, fraction == 0 ? 22 : sizeof text - 1);
}

void
ragify_writer_uuid (RagifyWriter *writer, const RagifyUuid *id)
{
  static const char hex[] = "0123456789abcdef";
  char text[36];
  gsize at = 0;
  for (guint i = 0; i < sizeof id->bytes; i++) {
    if (i == 4 || i == 6 || i == 8 || i == 10)
      text[at++] = '-';
    text[at++] = hex[id->bytes[i] >> 4];
    text[at++] = hex[id->bytes[i] & 15];
  }
  ragify_writer_bytes (writer, text, sizeof text);
}
