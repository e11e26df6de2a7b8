/* Which files make up the configuration, and reading them.
 *
 * SPDX-License-Identifier: MIT
 *
 * The order is that of the paths; inside a directory its *.conf in byte order of their names, hidden ones left out. A
 * file shadows, which means it is read in the place of, any of the same name in a path before its own; so an empty
 * file, or a link to /dev/null, switches a drop-in of the vendor's off.
 */
#ifndef RAGIFY_CONFIG_DROP_INS_H
#define RAGIFY_CONFIG_DROP_INS_H

#include "config/scanner.h"

G_BEGIN_DECLS

typedef struct RagifyDropIn {
  char *path;
  bool named; /* by --config itself: may be a pipe, where a directory's entries must be files */
} RagifyDropIn;

/* An array of RagifyDropIn that frees them. What cannot be listed is an error in `diagnostics`. */
GArray *ragify_drop_ins_list (const RagifyConfigInput *input, RagifyDiagnostics *diagnostics);

/* Reads and scans one; an error in `diagnostics` and an empty scan where it cannot be read. */
RagifyScan *ragify_drop_in_scan (const RagifyDropIn *drop_in, RagifyDiagnostics *diagnostics);

G_END_DECLS
#endif
