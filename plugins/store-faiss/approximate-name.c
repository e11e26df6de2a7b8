/* The factory strings that are known to work. */
#include "approximate.h"

#include <string.h>

#define LEAST_PER_LIST 39u /* what FAISS wants for each centroid */
#define SAMPLE_PER_LIST 64u
#define PQ_CENTROIDS 256u
#define LEAST_OTHERWISE 1000u
#define MOST_NUMBER 1000000u

/* Reads a number from 1 to a million at *text and goes past it; 0 where there is none. */
static uint32_t
read_number (const char **text)
{
  uint32_t number = 0;
  const char *at = *text;
  for (; *at >= '0' && *at <= '9' && number <= MOST_NUMBER; at++)
    number = number * 10 + (uint32_t)(*at - '0');
  if (number > MOST_NUMBER)
    return 0;
  *text = at;
  return number;
}

static bool
is_code (const char *text)
{
  if (strcmp (text, "Flat") == 0 || strcmp (text, "SQ8") == 0 || strcmp (text, "SQfp16") == 0)
    return true;
  if (strncmp (text, "PQ", 2) != 0)
    return false;
  text += 2;
  return read_number (&text) > 0 && *text == '\0';
}

/* The number of lists of IVFn,…; 0 for other names. */
static uint32_t
lists_of (const char *name)
{
  if (strncmp (name, "IVF", 3) != 0)
    return 0;
  name += 3;
  return read_number (&name);
}

static bool
check_ivf (const char *factory, uint32_t nlist, char *name)
{
  const char *rest = factory + 3;
  uint32_t lists = *rest == ',' ? nlist : read_number (&rest);
  if (lists == 0 || *rest != ',' || !is_code (rest + 1))
    return false;
  return snprintf (name, RAGIFY_APPROXIMATE_NAME, "IVF%u,%s", lists, rest + 1) < RAGIFY_APPROXIMATE_NAME;
}

static bool
check_hnsw (const char *factory, char *name)
{
  const char *rest = factory + 4;
  uint32_t links = read_number (&rest);
  if (links < 2 || links > 512 || (*rest != '\0' && strcmp (rest, ",Flat") != 0 && strcmp (rest, ",SQ8") != 0))
    return false;
  return snprintf (name, RAGIFY_APPROXIMATE_NAME, "HNSW%u%s", links, rest) < RAGIFY_APPROXIMATE_NAME;
}

bool
ragify_approximate_check (const char *factory, uint32_t nlist, char *name, RagifyFault *fault)
{
  if (strlen (factory) < RAGIFY_APPROXIMATE_NAME) {
    if (strncmp (factory, "IVF", 3) == 0 && check_ivf (factory, nlist, name))
      return true;
    if (strncmp (factory, "HNSW", 4) == 0 && check_hnsw (factory, name))
      return true;
    if (is_code (factory)) {
      memcpy (name, factory, strlen (factory) + 1);
      return true;
    }
  }
  return ragify_fault_set (
      fault, RAGIFY_E_INVALID,
      "index: expected Flat, SQ8, SQfp16, PQm, IVFn,Flat, IVFn,SQ8, IVFn,SQfp16, IVFn,PQm, HNSWm or "
      "HNSWm,SQ8 (n and m are numbers; without n the key nlist counts); found '%.100s'",
      factory);
}

bool
ragify_approximate_fits (const char *name, uint32_t dimension, RagifyFault *fault)
{
  const char *product = strstr (name, "PQ");
  if (product == NULL)
    return true;
  product += 2;
  uint32_t parts = read_number (&product);
  if (parts > 0 && dimension % parts == 0)
    return true;
  return ragify_fault_set (fault, RAGIFY_E_INVALID,
                           "index: '%s' cuts vectors into %u equal parts, but their dimension is %u", name, parts,
                           dimension);
}

bool
ragify_approximate_is_exact (const char *name)
{
  return strcmp (name, "Flat") == 0;
}

uint64_t
ragify_approximate_least (const char *name)
{
  uint64_t lists = lists_of (name);
  uint64_t least = lists > 0 ? lists * LEAST_PER_LIST : LEAST_OTHERWISE;
  bool product = strstr (name, "PQ") != NULL;
  return product && least < (uint64_t)PQ_CENTROIDS * LEAST_PER_LIST ? (uint64_t)PQ_CENTROIDS * LEAST_PER_LIST : least;
}

uint64_t
ragify_approximate_sample (const char *name)
{
  uint64_t lists = lists_of (name);
  uint64_t sample = lists * SAMPLE_PER_LIST;
  return sample < 65536 ? 65536 : sample;
}
