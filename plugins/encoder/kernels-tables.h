/*
 * The tables of kernels.h, one object file each, compiled for the CPU that it is named after.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RAGIFY_KERNELS_TABLES_H
#define RAGIFY_KERNELS_TABLES_H

#include "kernels.h"

extern const RagifyKernels ragify_kernels_amxbf16; /* where there is ragify_kernels_avx512bf16, too */
extern const RagifyKernels ragify_kernels_avx512bf16;
extern const RagifyKernels ragify_kernels_avx512f;
extern const RagifyKernels ragify_kernels_avx2;
extern const RagifyKernels ragify_kernels_portable;

extern const RagifyKernels ragify_kernels_amxint8; /* where there is ragify_kernels_amxbf16, too */
extern const RagifyKernels ragify_kernels_avx512vnni;
extern const RagifyKernels ragify_kernels_avxvnni;
extern const RagifyKernels ragify_kernels_avx2int8;
extern const RagifyKernels ragify_kernels_portableint8;

#endif
