/* SPDX-License-Identifier: MIT */
#include "config/value.h"

#include "config/diagnostics.h"
#include "config/suggest.h"

#include <errno.h>
#include <math.h>
#include <string.h>

typedef struct Unit {
  const char *name;
  uint64_t factor;
} Unit;

static const Unit duration_units[] = { { "us", 1 },         { "ms", 1000 },       { "s", 1000000 },
                                       { "min", 60000000 }, { "h", 3600000000u }, { "d", 86400000000u } };

static const Unit size_units[] = { { "", 1 },
                                   { "B", 1 },
                                   { "kB", 1000 },
                                   { "KB", 1000 },
                                   { "KiB", 1024 },
                                   { "MB", 1000000 },
                                   { "MiB", 1024 * 1024 },
                                   { "GB", 1000000000 },
                                   { "GiB", 1024 * 1024 * 1024 },
                                   { "TB", 1000000000000 },
                                   { "TiB", 1024ll * 1024 * 1024 * 1024 } };

/* 100 years: sums of a few durations and a clock stay far from the end of 64 bits. */
static const uint64_t duration_max = 100ull * 365 * 86400 * 1000000;
static const uint64_t size_max = INT64_MAX;

static const char *const type_names[] = {
  [RAGIFY_KEY_STRING] = "text",  [RAGIFY_KEY_INT] = "integer",       [RAGIFY_KEY_DOUBLE] = "number",
  [RAGIFY_KEY_BOOL] = "boolean", [RAGIFY_KEY_DURATION] = "duration", [RAGIFY_KEY_SIZE] = "size",
  [RAGIFY_KEY_PATH] = "path",    [RAGIFY_KEY_URI] = "URI",           [RAGIFY_KEY_ENUM] = "choice",
  [RAGIFY_KEY_LIST] = "list",    [RAGIFY_KEY_SECRET] = "secret"
};

/* What may be shown of a value that is wrong. */
typedef struct Shown {
  const char *text; /* as written, so that no variable's value is in it */
  bool secret;
} Shown;

const char *
ragify_value_type_name (uint32_t type)
{
  if (type == RAGIFY_KEY_REFERENCE)
    return "name of a node";
  if (type == RAGIFY_KEY_REFERENCE_LIST)
    return "names of nodes";
  if (type >= G_N_ELEMENTS (type_names) || type_names[type] == NULL)
    return "unknown";
  return type_names[type];
}

static bool
refuse (RagifyTextError *error, const RagifyKey *key, const Shown *shown, const char *expected)
{
  g_autofree char *found = shown->secret ? g_strdup ("something else") : ragify_quote (shown->text);

  return ragify_text_error (error, 0, "'%s' takes %s, found %s", key->name, expected, found);
}

/* ---- Numbers ---------------------------------------------------------------------------------------------------- */

static bool
parse_integer (const char *text, int64_t *value)
{
  char *end = NULL;
  const char *digits = *text == '-' || *text == '+' ? text + 1 : text;
  gint64 parsed = 0;

  if (!g_ascii_isdigit (*digits))
    return false;
  errno = 0;
  parsed = g_ascii_strtoll (text, &end, 10);
  if (errno != 0 || *end != '\0')
    return false;
  *value = parsed;
  return true;
}

/* The length of a plain decimal number ("12", "0.5"), exponent and sign allowed where `wide`; 0: there is none. */
static size_t
number_size (const char *text, bool wide)
{
  const char *at = text;
  size_t digits = 0;

  if (wide && (*at == '-' || *at == '+'))
    at++;
  for (; g_ascii_isdigit (*at); at++)
    digits++;
  if (*at == '.')
    for (at++; g_ascii_isdigit (*at); at++)
      digits++;
  if (digits == 0)
    return 0;
  if (wide && (*at == 'e' || *at == 'E')) {
    const char *exponent = at[1] == '-' || at[1] == '+' ? at + 2 : at + 1;

    if (!g_ascii_isdigit (*exponent))
      return 0;
    for (at = exponent; g_ascii_isdigit (*at); at++)
      ;
  }
  return (size_t)(at - text);
}

static bool
parse_double (const char *text, double *value)
{
  size_t size = number_size (text, true);
  double parsed = 0;

  if (size == 0 || text[size] != '\0')
    return false;
  parsed = g_ascii_strtod (text, NULL);
  if (!isfinite (parsed))
    return false;
  *value = parsed;
  return true;
}

/* A number of `units`; whole ones are exact, fractions are rounded to the nearest smallest unit, which itself has none.
 */
static bool
parse_quantity (const char *text, const Unit *units, size_t n_units, uint64_t maximum, uint64_t *value)
{
  size_t size = number_size (text, false);
  g_autofree char *number = g_strndup (text, size);
  const char *unit = text + size;
  double parsed = 0;

  if (size == 0)
    return false;
  while (*unit == ' ' || *unit == '\t')
    unit++;
  for (size_t i = 0; i < n_units; i++) {
    char *end = NULL;
    guint64 whole = 0;

    if (strcmp (unit, units[i].name) != 0)
      continue;
    errno = 0;
    whole = g_ascii_strtoull (number, &end, 10);
    if (*end == '\0') {
      if (errno != 0 || whole > maximum / units[i].factor)
        return false;
      *value = whole * units[i].factor;
      return true;
    }
    parsed = g_ascii_strtod (number, NULL) * (double)units[i].factor;
    if (units[i].factor == 1 || !isfinite (parsed) || parsed > (double)maximum / 2)
      return false;
    *value = (uint64_t)llround (parsed);
    return true;
  }
  return false;
}

static bool
parse_duration (const char *text, uint64_t *value)
{
  if (strcmp (text, "0") == 0) {
    *value = 0;
    return true;
  }
  return parse_quantity (text, duration_units, G_N_ELEMENTS (duration_units), duration_max, value);
}

static bool
parse_size (const char *text, uint64_t *value)
{
  return parse_quantity (text, size_units, G_N_ELEMENTS (size_units), size_max, value);
}

/* −1, 0 or 1 as `text`, a bound as a schema has it, is below, at or above the value. A bound that does not parse bounds
 * nothing: the module's loader refuses such a schema. */
static int
compare_bound (const RagifyConfigValue *value, const char *text)
{
  int64_t integer = 0;
  double number = 0;
  uint64_t quantity = 0;

  switch (value->type) {
  case RAGIFY_KEY_INT:
    return parse_integer (text, &integer) ? (integer > value->integer) - (integer < value->integer) : 0;
  case RAGIFY_KEY_DOUBLE:
    return parse_double (text, &number) ? (number > value->number) - (number < value->number) : 0;
  case RAGIFY_KEY_DURATION:
    return parse_duration (text, &quantity) ? (quantity > value->duration) - (quantity < value->duration) : 0;
  case RAGIFY_KEY_SIZE:
    return parse_size (text, &quantity) ? (quantity > value->size) - (quantity < value->size) : 0;
  default:
    return 0;
  }
}

static bool
check_bounds (const RagifyKey *key, const Shown *shown, const RagifyConfigValue *value, RagifyTextError *error)
{
  bool low = key->minimum != NULL && compare_bound (value, key->minimum) > 0;
  bool high = key->maximum != NULL && compare_bound (value, key->maximum) < 0;
  g_autofree char *found = NULL;

  if (!low && !high)
    return true;
  found = ragify_quote (shown->text);
  if (key->minimum == NULL)
    return ragify_text_error (error, 0, "'%s' must be at most %s, found %s", key->name, key->maximum, found);
  if (key->maximum == NULL)
    return ragify_text_error (error, 0, "'%s' must be at least %s, found %s", key->name, key->minimum, found);
  return ragify_text_error (error, 0, "'%s' must be from %s to %s, found %s", key->name, key->minimum, key->maximum,
                            found);
}

/* ---- Words and texts -------------------------------------------------------------------------------------------- */

static bool
parse_bool (const char *text, bool *value)
{
  static const char *const yes[] = { "true", "yes", "on", "1" };
  static const char *const no[] = { "false", "no", "off", "0" };

  for (size_t i = 0; i < G_N_ELEMENTS (yes); i++) {
    bool is_yes = g_ascii_strcasecmp (text, yes[i]) == 0;

    if (!is_yes && g_ascii_strcasecmp (text, no[i]) != 0)
      continue;
    *value = is_yes;
    return true;
  }
  return false;
}

static bool
parse_choice (const RagifyKey *key, const char *text, const Shown *shown, char **value, RagifyTextError *error)
{
  g_auto (GStrv) choices = g_strsplit (key->choices == NULL ? "" : key->choices, "|", -1);
  RagifySuggestion suggestion;
  g_autofree char *listed = NULL;
  g_autofree char *found = NULL;
  g_autofree char *hint = NULL;

  ragify_suggestion_init (&suggestion, shown->text, NULL);
  for (size_t i = 0; choices[i] != NULL; i++) {
    if (g_ascii_strcasecmp (text, choices[i]) == 0) {
      *value = g_steal_pointer (&choices[i]);
      /* g_strfreev stops at the first NULL: the rest is freed here. */
      for (size_t j = i + 1; choices[j] != NULL; j++)
        g_free (choices[j]);
      return true;
    }
    ragify_suggestion_try (&suggestion, choices[i]);
  }
  listed = g_strjoinv (", ", choices);
  found = ragify_quote (shown->text);
  hint = ragify_suggestion_text (&suggestion);
  return ragify_text_error (error, 0, "'%s' takes one of %s, found %s%s", key->name, listed, found, hint);
}

static bool
is_uri (const char *text)
{
  const char *at = text;

  if (!g_ascii_isalpha (*at))
    return false;
  while (g_ascii_isalnum (*at) || *at == '+' || *at == '-' || *at == '.')
    at++;
  if (*at != ':' || at[1] == '\0')
    return false;
  for (; *at != '\0'; at++)
    if ((unsigned char)*at <= 0x20 || *at == 0x7f)
      return false;
  return true;
}

static bool
parse_string (const RagifyKey *key, const char *text, const Shown *shown, const RagifyValueContext *context,
              RagifyConfigValue *value, RagifyTextError *error)
{
  char *string = NULL;

  if (key->type == RAGIFY_KEY_ENUM) {
    if (!parse_choice (key, text, shown, &string, error))
      return false;
  } else if (key->type == RAGIFY_KEY_PATH) {
    if (*text == '\0')
      return refuse (error, key, shown, "a path");
    string = g_canonicalize_filename (text, context->state_dir);
  } else if (key->type == RAGIFY_KEY_URI && !is_uri (text)) {
    return refuse (error, key, shown, "a URI with its scheme, such as https://host/path");
  } else {
    string = g_strdup (text);
  }
  value->string = string;
  return true;
}

static bool
parse_typed (const RagifyKey *key, const char *text, const Shown *shown, const RagifyValueContext *context,
             RagifyConfigValue *value, RagifyTextError *error)
{
  RagifyConfigValue parsed = *value;

  parsed.type = key->type;
  switch (key->type) {
  case RAGIFY_KEY_INT:
    if (!parse_integer (text, &parsed.integer))
      return refuse (error, key, shown, "a whole number");
    break;
  case RAGIFY_KEY_DOUBLE:
    if (!parse_double (text, &parsed.number))
      return refuse (error, key, shown, "a number");
    break;
  case RAGIFY_KEY_BOOL:
    if (!parse_bool (text, &parsed.boolean))
      return refuse (error, key, shown, "true or false");
    break;
  case RAGIFY_KEY_DURATION:
    if (!parse_duration (text, &parsed.duration))
      return refuse (error, key, shown, "a duration with its unit (us, ms, s, min, h, d), such as 250ms or 5min");
    break;
  case RAGIFY_KEY_SIZE:
    if (!parse_size (text, &parsed.size))
      return refuse (error, key, shown, "a size in bytes or with a unit (KiB, MiB, GiB, kB, MB, GB), such as 64MiB");
    break;
  default:
    if (!parse_string (key, text, shown, context, &parsed, error))
      return false;
  }
  if (!check_bounds (key, shown, &parsed, error))
    return false;
  *value = parsed;
  return true;
}

static bool
parse_list (const char *raw, const RagifyValueContext *context, RagifyConfigValue *value, bool *expanded,
            RagifyTextError *error)
{
  g_autoptr (GArray) items = ragify_text_list (raw, context->environment, expanded, error);
  char **list = NULL;

  if (items == NULL)
    return false;
  list = g_new0 (char *, items->len + 1);
  for (unsigned int i = 0; i < items->len; i++)
    list[i] = g_steal_pointer (&g_array_index (items, RagifyTextItem, i).text);
  value->list.items = (const char *const *)list;
  value->list.count = items->len;
  return true;
}

/* Puts the key's name before what text.h said. */
static bool
name_key (const RagifyKey *key, RagifyTextError *error)
{
  g_autofree char *message = error->message;

  error->message = g_strdup_printf ("'%s': %s", key->name, message);
  return false;
}

bool
ragify_value_parse (const RagifyKey *key, const char *raw, const RagifyValueContext *context, RagifyConfigValue *value,
                    bool *hidden, RagifyTextError *error)
{
  Shown shown = { raw, key->type == RAGIFY_KEY_SECRET };
  g_autofree char *text = NULL;
  bool expanded = false;
  bool sound = false;

  if (key->type == RAGIFY_KEY_LIST) {
    if (!parse_list (raw, context, value, &expanded, error))
      return name_key (key, error);
    value->type = key->type;
    *hidden = expanded;
    return true;
  }
  text = ragify_text_scalar (raw, context->environment, &expanded, error);
  if (text == NULL)
    return name_key (key, error);
  sound = parse_typed (key, text, &shown, context, value, error);
  if (sound)
    *hidden = expanded || shown.secret;
  if (shown.secret || expanded)
    explicit_bzero (text, strlen (text));
  return sound;
}

bool
ragify_value_from_text (const RagifyKey *key, const char *text, const RagifyValueContext *context,
                        RagifyConfigValue *value, RagifyTextError *error)
{
  Shown shown = { text, key->type == RAGIFY_KEY_SECRET };

  return parse_typed (key, text, &shown, context, value, error);
}

void
ragify_value_clear (RagifyConfigValue *value)
{
  if (value->origin.kind == RAGIFY_ORIGIN_NONE)
    return;
  switch (value->type) {
  case RAGIFY_KEY_LIST:
    g_strfreev ((char **)value->list.items);
    break;
  case RAGIFY_KEY_REFERENCE:
  case RAGIFY_KEY_REFERENCE_LIST:
    g_free ((gpointer)value->refs.nodes);
    break;
  case RAGIFY_KEY_SECRET:
    explicit_bzero ((char *)value->string, strlen (value->string));
    g_free ((char *)value->string);
    break;
  case RAGIFY_KEY_STRING:
  case RAGIFY_KEY_PATH:
  case RAGIFY_KEY_URI:
  case RAGIFY_KEY_ENUM:
    g_free ((char *)value->string);
    break;
  default:
    break;
  }
  value->origin.kind = RAGIFY_ORIGIN_NONE;
}

/* ---- Back to text ----------------------------------------------------------------------------------------------- */

static char *
quantity_to_text (uint64_t quantity, const char *const *units, const uint64_t *factors, size_t count)
{
  size_t best = 0;

  if (quantity == 0)
    return g_strdup ("0");
  for (size_t i = 1; i < count; i++)
    if (quantity % factors[i] == 0)
      best = i;
  return g_strdup_printf ("%" G_GUINT64_FORMAT "%s", quantity / factors[best], units[best]);
}

static char *
duration_to_text (uint64_t duration)
{
  static const char *const units[] = { "us", "ms", "s", "min", "h", "d" };
  static const uint64_t factors[] = { 1, 1000, 1000000, 60000000, 3600000000u, 86400000000u };

  return quantity_to_text (duration, units, factors, G_N_ELEMENTS (units));
}

static char *
size_to_text (uint64_t size)
{
  static const char *const units[] = { "", "KiB", "MiB", "GiB", "TiB" };
  static const uint64_t factors[] = { 1, 1 << 10, 1 << 20, 1 << 30, 1ull << 40 };

  return quantity_to_text (size, units, factors, G_N_ELEMENTS (units));
}

char *
ragify_value_to_text (const RagifyConfigValue *value)
{
  char buffer[G_ASCII_DTOSTR_BUF_SIZE];
  GString *list = NULL;

  switch (value->type) {
  case RAGIFY_KEY_INT:
    return g_strdup_printf ("%" G_GINT64_FORMAT, value->integer);
  case RAGIFY_KEY_DOUBLE:
    return g_strdup (g_ascii_formatd (buffer, sizeof buffer, "%.15g", value->number));
  case RAGIFY_KEY_BOOL:
    return g_strdup (value->boolean ? "true" : "false");
  case RAGIFY_KEY_DURATION:
    return duration_to_text (value->duration);
  case RAGIFY_KEY_SIZE:
    return size_to_text (value->size);
  case RAGIFY_KEY_LIST:
    list = g_string_new (NULL);
    for (size_t i = 0; i < value->list.count; i++) {
      g_autofree char *item = ragify_text_write (value->list.items[i], true);
      g_string_append_printf (list, "%s%s", i == 0 ? "" : "; ", item);
    }
    return g_string_free (list, FALSE);
  default:
    return ragify_text_write (value->string, false);
  }
}
