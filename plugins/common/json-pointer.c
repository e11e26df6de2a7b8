/* SPDX-License-Identifier: MIT */
#include "json-pointer.h"

#include <string.h>

#define NAME_ROOM 256u

bool
ragify_json_pointer_valid (const char *text)
{
  if (*text != '\0' && *text != '/')
    return false;
  for (const char *p = text; *p != '\0'; p++)
    if (*p == '~' && p[1] != '0' && p[1] != '1')
      return false;
  for (const char *part = strchr (text, '/'); part != NULL; part = strchr (part + 1, '/'))
    if (strcspn (part + 1, "/") >= NAME_ROOM)
      return false;
  return true;
}

/* The part as the name that it stands for; its size. */
static size_t
unescape (const char *part, size_t size, char *name)
{
  size_t length = 0;
  for (size_t i = 0; i < size; i++) {
    if (part[i] == '~' && i + 1 < size)
      name[length++] = part[++i] == '1' ? '/' : '~';
    else
      name[length++] = part[i];
  }
  name[length] = '\0';
  return length;
}

/* Digits without a leading zero (RFC 6901, 4). */
static bool
parse_index (const char *name, size_t size, size_t *index)
{
  if (size == 0 || size > 9 || (size > 1 && name[0] == '0') || strspn (name, "0123456789") != size)
    return false;
  *index = 0;
  for (size_t i = 0; i < size; i++)
    *index = *index * 10 + (size_t)(name[i] - '0');
  return true;
}

json_t *
ragify_json_pointer_get (const json_t *root, const char *pointer)
{
  json_t *value = (json_t *)root;
  while (*pointer == '/' && value != NULL) {
    char name[NAME_ROOM];
    const size_t part = strcspn (pointer + 1, "/");
    if (part >= sizeof name)
      return NULL;
    const size_t size = unescape (pointer + 1, part, name);
    size_t index = 0;
    if (json_is_object (value))
      value = json_object_get (value, name);
    else if (json_is_array (value) && parse_index (name, size, &index))
      value = json_array_get (value, index);
    else
      value = NULL;
    pointer += 1 + part;
  }
  return value;
}
