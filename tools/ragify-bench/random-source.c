#include "random-source.h"

static guint64
split_mix (guint64 *state)
{
  guint64 z = (*state += G_GUINT64_CONSTANT (0x9e3779b97f4a7c15));
  z = (z ^ (z >> 30)) * G_GUINT64_CONSTANT (0xbf58476d1ce4e5b9);
  z = (z ^ (z >> 27)) * G_GUINT64_CONSTANT (0x94d049bb133111eb);
  return z ^ (z >> 31);
}

static guint64
rotate_left (guint64 value, guint bits)
{
  return (value << bits) | (value >> (64 - bits));
}

void
ragify_random_source_init (RagifyRandomSource *source, guint64 seed)
{
  for (guint i = 0; i < 4; i++)
    source->state[i] = split_mix (&seed);
}

guint64
ragify_random_source_next (RagifyRandomSource *source)
{
  guint64 *s = source->state;
  guint64 result = rotate_left (s[0] + s[3], 23) + s[0];
  guint64 shifted = s[1] << 17;
  s[2] ^= s[0];
  s[3] ^= s[1];
  s[1] ^= s[2];
  s[0] ^= s[3];
  s[2] ^= shifted;
  s[3] = rotate_left (s[3], 45);
  return result;
}

double
ragify_random_source_next_double (RagifyRandomSource *source)
{
  return (double)(ragify_random_source_next (source) >> 11) * 0x1.0p-53;
}
