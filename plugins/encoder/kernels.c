/* SPDX-License-Identifier: MIT */
#include "kernels.h"

#include "kernels-tables.h"

#include <string.h>

static const RagifyKernels *const tables[] = {
#ifdef RAGIFY_HAVE_AMXBF16
  &ragify_kernels_amxbf16,
#endif
#ifdef RAGIFY_HAVE_AVX512BF16
  &ragify_kernels_avx512bf16,
#endif
#ifdef RAGIFY_HAVE_AVX512F
  &ragify_kernels_avx512f,
#endif
#ifdef RAGIFY_HAVE_AVX2
  &ragify_kernels_avx2,
#endif
  &ragify_kernels_portable,
#ifdef RAGIFY_HAVE_AMXINT8
  &ragify_kernels_amxint8,
#endif
#ifdef RAGIFY_HAVE_AVX512VNNI
  &ragify_kernels_avx512vnni,
#endif
#ifdef RAGIFY_HAVE_AVXVNNI
  &ragify_kernels_avxvnni,
#endif
#ifdef RAGIFY_HAVE_AVX2INT8
  &ragify_kernels_avx2int8,
#endif
  &ragify_kernels_portableint8, NULL,
};

const RagifyKernels *const *
ragify_kernels_list (void)
{
  return tables;
}

const RagifyKernels *
ragify_kernels_choose (const char *precision, const char *name)
{
  const bool any_precision = strcmp (precision, "auto") == 0;
  const bool any_name = strcmp (name, "auto") == 0;

  for (size_t i = 0; tables[i] != NULL; i++) {
    const RagifyKernels *const table = tables[i];

    const bool wanted =
        any_precision ? !any_name || strcmp (table->precision, "int8") != 0 : strcmp (precision, table->precision) == 0;

    if (wanted && (any_name || strcmp (name, table->name) == 0) && table->is_supported ())
      return table;
  }
  return NULL;
}
