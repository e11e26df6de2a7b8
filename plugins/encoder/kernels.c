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
  &ragify_kernels_portable,   NULL,
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

    if (!any_precision && strcmp (precision, table->precision) != 0)
      continue;
    if (!any_name && strcmp (name, table->name) != 0)
      continue;
    if (table->is_supported ())
      return table;
  }
  return NULL;
}
