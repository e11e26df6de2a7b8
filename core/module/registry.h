/* Modules and the components that they bring.
 *
 * SPDX-License-Identifier: MIT
 *
 * A module is loaded once and stays. Every refusal says the path, the reason and the way out.
 */
#pragma once

#include <glib/gstdio.h>
#include <ragify/ragify.h>

typedef struct RagifyRegistry RagifyRegistry;

typedef struct RagifyModule {
  char *path;
  const RagifyPlugin *plugin; /* NULL: refused */
  char *refusal;              /* NULL: loaded */
  GStatBuf file;              /* as it was then */
} RagifyModule;

RagifyRegistry *ragify_registry_new (void);
void ragify_registry_free (RagifyRegistry *registry); /* modules stay resident */

/* Loads every *.so of `folder`, in name order. Refusals are kept, see ragify_registry_modules; FALSE only when the
 * folder cannot be read. [control] */
gboolean ragify_registry_load_folder (RagifyRegistry *registry, const char *folder, GError **error);
/* Loads one module; one that is loaded already stays, one that was refused is tried again. [control] */
gboolean ragify_registry_load (RagifyRegistry *registry, const char *path, GError **error);

/* All that were tried: RagifyModule. */
const GPtrArray *ragify_registry_modules (const RagifyRegistry *registry);

/* The component called `name` of a kind (RAGIFY_KIND_…), and the module that brought it; NULL where there is none. */
const RagifyComponent *
ragify_registry_find (const RagifyRegistry *registry, const char *kind, const char *name, const RagifyModule **module);
/* All components of a kind, in name order; free with g_ptr_array_unref. */
GPtrArray *ragify_registry_list (const RagifyRegistry *registry, const char *kind);

#define RAGIFY_MODULE_ERROR (ragify_module_error_quark ())
GQuark ragify_module_error_quark (void);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (RagifyRegistry, ragify_registry_free)
