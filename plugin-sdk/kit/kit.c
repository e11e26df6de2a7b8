/* SPDX-License-Identifier: MIT */
#include "kit-private.h"

#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

void *
kit_alloc (size_t size)
{
  void *memory = calloc (1, size > 0 ? size : 1);
  if (memory == NULL)
    abort ();
  return memory;
}

char *
kit_copy (const char *text)
{
  const size_t size = strlen (text) + 1;
  return memcpy (kit_alloc (size), text, size);
}

void
kit_set_error (RagifyKit *kit, const char *format, ...)
{
  va_list arguments;
  va_start (arguments, format);
  vsnprintf (kit->error, sizeof kit->error, format, arguments);
  va_end (arguments);
}

void
kit_fault (RagifyKit *kit, const char *format, ...)
{
  char text[KIT_TEXT_MAX];
  va_list arguments;
  va_start (arguments, format);
  vsnprintf (text, sizeof text, format, arguments);
  va_end (arguments);

  const uint64_t index = atomic_fetch_add (&kit->fault_count, 1);
  if (!kit->options.quiet)
    fprintf (stderr, "# fault: %s\n", text);
  if (index >= KIT_FAULTS_KEPT)
    return;
  pthread_mutex_lock (&kit->lock);
  kit->faults[index] = kit_copy (text);
  pthread_mutex_unlock (&kit->lock);
}

static const char *
check_component (RagifyKit *kit, const RagifyComponent *component)
{
  /* All of ABI 1.0 has to be there; what came later is behind struct_size. */
  if (component->struct_size < sizeof (RagifyComponent)) {
    kit_set_error (kit, "a component of %u bytes; ABI 1.0 has %zu", component->struct_size, sizeof (RagifyComponent));
    return kit->error;
  }
  if (component->kind == NULL || component->name == NULL) {
    kit_set_error (kit, "a component without a %s", component->kind == NULL ? "kind" : "name");
    return kit->error;
  }
  if (component->create == NULL || component->start == NULL || component->destroy == NULL ||
      component->operations == NULL) {
    kit_set_error (kit, "component '%s' lacks create, start, destroy or operations", component->name);
    return kit->error;
  }
  if (component->run_class < RAGIFY_RUN_LOOP || component->run_class > RAGIFY_RUN_WORKER) {
    kit_set_error (kit, "component '%s': run class %u is none of 1..3", component->name, component->run_class);
    return kit->error;
  }
  return kit_schema_check (kit, component->name, &component->schema) ? NULL : kit->error;
}

static bool
check_plugin (RagifyKit *kit, const char *path, const RagifyPlugin *plugin)
{
  if (plugin == NULL) {
    kit_set_error (kit, "%s: not loaded: %s() gave NULL", path, RAGIFY_PLUGIN_ENTRY);
    return false;
  }
  if (plugin->magic != RAGIFY_PLUGIN_MAGIC) {
    kit_set_error (kit, "%s: not loaded: magic is 0x%08x, expected 0x%08x", path, plugin->magic, RAGIFY_PLUGIN_MAGIC);
    return false;
  }
  if (plugin->abi_major != RAGIFY_ABI_MAJOR || plugin->abi_minor_needed > RAGIFY_ABI_MINOR) {
    kit_set_error (kit, "%s: not loaded: needs plugin ABI %u.%u, this host speaks %d.0-%d.%d", path, plugin->abi_major,
                   plugin->abi_minor_needed, RAGIFY_ABI_MAJOR, RAGIFY_ABI_MAJOR, RAGIFY_ABI_MINOR);
    return false;
  }
  if (plugin->struct_size < sizeof *plugin || plugin->components == NULL || plugin->id == NULL) {
    kit_set_error (kit, "%s: not loaded: RagifyPlugin of %u bytes (ABI 1.0 has %zu), or without id or components", path,
                   plugin->struct_size, sizeof *plugin);
    return false;
  }
  for (size_t i = 0; plugin->components[i] != NULL; i++) {
    if (check_component (kit, plugin->components[i]) != NULL) {
      char reason[KIT_TEXT_MAX];
      memcpy (reason, kit->error, sizeof reason);
      kit_set_error (kit, "%.300s: not loaded: %.600s", path, reason);
      return false;
    }
  }
  return true;
}

const RagifyPlugin *
ragify_kit_load (RagifyKit *kit, const char *path)
{
  for (const KitModule *module = kit->modules; module != NULL; module = module->next) {
    if (strcmp (module->path, path) == 0)
      return module->plugin;
  }
  /* Made resident as the real host does: no plugin has to survive being unloaded. */
  void *handle = dlopen (path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (handle == NULL) {
    kit_set_error (kit, "%s: not loaded: %s", path, dlerror ());
    return NULL;
  }
  const RagifyPlugin *(*query) (void) = NULL;
  *(void **)&query = dlsym (handle, RAGIFY_PLUGIN_ENTRY);
  if (query == NULL) {
    kit_set_error (kit, "%s: not loaded: does not export %s", path, RAGIFY_PLUGIN_ENTRY);
    dlclose (handle);
    return NULL;
  }
  const RagifyPlugin *plugin = query ();
  if (!check_plugin (kit, path, plugin)) {
    dlclose (handle);
    return NULL;
  }
  KitModule *module = kit_alloc (sizeof *module);
  module->path = kit_copy (path);
  module->plugin = plugin;
  module->next = kit->modules;
  kit->modules = module;
  dlclose (handle);
  return plugin;
}

const RagifyComponent *
ragify_kit_find (RagifyKit *kit, const RagifyPlugin *plugin, const char *kind, const char *name)
{
  for (size_t i = 0; plugin->components[i] != NULL; i++) {
    if (strcmp (plugin->components[i]->kind, kind) == 0 && strcmp (plugin->components[i]->name, name) == 0)
      return plugin->components[i];
  }
  kit_set_error (kit, "plugin '%s' has no component '%s' of kind %s", plugin->id, name, kind);
  return NULL;
}

RagifyKit *
ragify_kit_new (const RagifyKitOptions *options)
{
  RagifyKit *kit = kit_alloc (sizeof *kit);
  pthread_mutex_init (&kit->lock, NULL);
  if (options != NULL)
    kit->options = *options;
  if (kit->options.workers == 0)
    kit->options.workers = 4;
  const char *directory = options != NULL ? options->state_directory : NULL;
  char *absolute = realpath (directory != NULL ? directory : ".", NULL);
  kit->state_directory = absolute != NULL ? absolute : kit_copy (directory != NULL ? directory : ".");
  kit->pool = kit_pool_new (kit, kit->options.workers);
  if (kit_thread_role () == RAGIFY_THREAD_OTHER)
    kit_thread_set_role (RAGIFY_THREAD_CONTROL, NULL);
  return kit;
}

void
ragify_kit_free (RagifyKit *kit)
{
  if (kit == NULL)
    return;
  kit_pool_free (kit->pool);
  kit_calls_free (kit);
  kit_nodes_free (kit);
  while (kit->modules != NULL) {
    KitModule *module = kit->modules;
    kit->modules = module->next;
    free (module->path);
    free (module);
  }
  for (size_t i = 0; i < KIT_FAULTS_KEPT; i++)
    free (kit->faults[i]);
  free (kit->state_directory);
  pthread_mutex_destroy (&kit->lock);
  free (kit);
}

const char *
ragify_kit_error (const RagifyKit *kit)
{
  return kit->error;
}

RagifyKitCounts
ragify_kit_counts (RagifyKit *kit)
{
  return (RagifyKitCounts){
    .buffers = kit_buffers_alive (),
    .calls = atomic_load (&kit->calls),
    .second_completions = atomic_load (&kit->second_completions),
    .late_uses = atomic_load (&kit->late_uses),
    .watches = atomic_load (&kit->watches),
    .timers = atomic_load (&kit->timers),
    .jobs = atomic_load (&kit->jobs),
    .warnings = atomic_load (&kit->warnings),
    .faults = atomic_load (&kit->fault_count),
  };
}

uint64_t
ragify_kit_faults (RagifyKit *kit)
{
  return atomic_load (&kit->fault_count);
}

const char *
ragify_kit_fault (RagifyKit *kit, size_t index)
{
  pthread_mutex_lock (&kit->lock);
  const char *text = index < KIT_FAULTS_KEPT ? kit->faults[index] : NULL;
  pthread_mutex_unlock (&kit->lock);
  return text;
}

uint64_t
ragify_kit_now_us (void)
{
  struct timespec now;
  clock_gettime (CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}
