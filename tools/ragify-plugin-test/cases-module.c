/* The module: entry, identity, versions. SPDX-License-Identifier: MIT */
#include <dlfcn.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conformance.h"

typedef const RagifyPlugin *(*Query) (void);

static void
exports_one_symbol (Subject *subject)
{
  char **names = elf_exported (subject->path);
  if (!expect (subject, names != NULL, "it is no ELF file of this machine"))
    return;
  bool entry = false;
  for (char **name = names; *name != NULL; name++) {
    const bool is_entry = strcmp (*name, RAGIFY_PLUGIN_ENTRY) == 0;
    entry |= is_entry;
    expect (subject, is_entry, "it also exports '%s' (build with -fvisibility=hidden)", *name);
  }
  expect (subject, entry, "it does not export " RAGIFY_PLUGIN_ENTRY);
  free (names);
}

static Query
entry_of (const Subject *subject)
{
  void *handle = dlopen (subject->path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  Query query = NULL;
  *(void **)&query = handle != NULL ? dlsym (handle, RAGIFY_PLUGIN_ENTRY) : NULL;
  return query;
}

static void *
ask (void *entry)
{
  return (void *)((Query)entry) ();
}

static void
entry_is_pure (Subject *subject)
{
  const Query query = entry_of (subject);
  if (!expect (subject, query != NULL, "the entry cannot be called"))
    return;
  const RagifyPlugin *first = query ();
#ifdef __GLIBC__
  const size_t before = mallinfo2 ().uordblks;
  for (int i = 0; i < 1000; i++)
    expect (subject, query () == first, "it answered another address the next time");
  expect (subject, mallinfo2 ().uordblks <= before + 512, "it allocates memory at every call");
#endif
  pthread_t thread;
  void *elsewhere = NULL;
  void *entry = NULL;
  memcpy (&entry, &query, sizeof entry);
  if (pthread_create (&thread, NULL, ask, entry) == 0)
    pthread_join (thread, &elsewhere);
  expect (subject, elsewhere == first, "it answered another address on another thread");
}

static void
identity_is_whole (Subject *subject)
{
  const RagifyPlugin *plugin = subject->plugin;
  expect (subject, plugin->id != NULL && strchr (plugin->id, '.') != NULL && strpbrk (plugin->id, " /\t\n") == NULL,
          "id '%s' is no reverse DNS name such as org.example.tickets", plugin->id != NULL ? plugin->id : "");
  const struct {
    const char *what, *text;
  } texts[] = { { "version", plugin->version }, { "licence", plugin->licence }, { "summary", plugin->summary } };
  for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
    if (expect (subject, texts[i].text != NULL && *texts[i].text != '\0', "it has no %s", texts[i].what))
      expect (subject, text_is_utf8 (ragify_str_from (texts[i].text)), "its %s is not UTF-8", texts[i].what);
  }
  expect (subject, plugin->url != NULL, "its url is NULL; a module without one says \"\"");
}

static void
versions_fit (Subject *subject)
{
  const RagifyPlugin *plugin = subject->plugin;
  expect (subject, plugin->abi_major == RAGIFY_ABI_MAJOR, "abi_major is %u, this kit holds against %d",
          plugin->abi_major, RAGIFY_ABI_MAJOR);
  expect (subject, plugin->abi_minor_needed <= RAGIFY_ABI_MINOR, "it needs minor %u, the newest is %d",
          plugin->abi_minor_needed, RAGIFY_ABI_MINOR);
  expect (subject, plugin->flags == 0, "flags are 0x%x, none is defined", plugin->flags);
  expect (subject, plugin->struct_size % sizeof (void *) == 0 && plugin->struct_size < 65536,
          "struct_size is %u; write sizeof", plugin->struct_size);
}

static void
components_differ (Subject *subject)
{
  const RagifyComponent *const *components = subject->plugin->components;
  expect (subject, components[0] != NULL, "it has no component");
  for (size_t i = 0; components[i] != NULL; i++)
    for (size_t k = 0; k < i; k++)
      expect (subject,
              strcmp (components[i]->kind, components[k]->kind) != 0 ||
                  strcmp (components[i]->name, components[k]->name) != 0,
              "two components of %s are called '%s'", components[i]->kind, components[i]->name);
}

const Case conformance_module_cases[] = {
  { "exports one symbol",
    "a module exports " RAGIFY_PLUGIN_ENTRY " and nothing else, so that no two modules can meet by name",
    exports_one_symbol, NULL },
  { "the entry is pure", "the entry returns the same constant data each time, from any thread, without allocating",
    entry_is_pure, NULL },
  { "says who it is", "id (reverse DNS), version, licence and summary are there, in UTF-8", identity_is_whole, NULL },
  { "versions fit", "magic, abi_major, abi_minor_needed and struct_size as the headers define them", versions_fit,
    NULL },
  { "components differ", "no two components of a kind have the same name", components_differ, NULL },
  { NULL, NULL, NULL, NULL },
};
