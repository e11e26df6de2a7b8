/* SPDX-License-Identifier: MIT */
#include "encoder-error.h"

GQuark
ragify_encoder_error_quark (void)
{
  return g_quark_from_static_string ("ragify-encoder-error");
}
