/* SPDX-License-Identifier: MIT */
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conformance.h"

typedef struct Image {
  const unsigned char *data;
  size_t size;
} Image;

static bool
image_open (const char *path, Image *image)
{
  struct stat status;
  const int fd = open (path, O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return false;
  void *data = MAP_FAILED;
  if (fstat (fd, &status) == 0 && status.st_size >= (off_t)sizeof (ElfW (Ehdr)))
    data = mmap (NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
  close (fd);
  if (data == MAP_FAILED)
    return false;
  *image = (Image){ data, (size_t)status.st_size };
  if (memcmp (image->data, ELFMAG, SELFMAG) == 0 &&
      image->data[EI_CLASS] == (sizeof (void *) == 8 ? ELFCLASS64 : ELFCLASS32))
    return true;
  munmap (data, image->size);
  return false;
}

/* The first section of a type; NULL when there is none, or it lies outside the file. */
static const ElfW (Shdr) * section_of_type (const Image *image, uint32_t type)
{
  const ElfW (Ehdr) *head = (const ElfW (Ehdr) *)(const void *)image->data;
  for (unsigned i = 0; i < head->e_shnum; i++) {
    const size_t at = head->e_shoff + (size_t)i * head->e_shentsize;
    if (at + sizeof (ElfW (Shdr)) > image->size)
      return NULL;
    const ElfW (Shdr) *section = (const ElfW (Shdr) *)(const void *)(image->data + at);
    if (section->sh_type == type)
      return section->sh_offset + section->sh_size <= image->size ? section : NULL;
  }
  return NULL;
}

static const ElfW (Shdr) * linked_section (const Image *image, const ElfW (Shdr) * section)
{
  const ElfW (Ehdr) *head = (const ElfW (Ehdr) *)(const void *)image->data;
  const size_t at = head->e_shoff + (size_t)section->sh_link * head->e_shentsize;
  if (section->sh_link >= head->e_shnum || at + sizeof (ElfW (Shdr)) > image->size)
    return NULL;
  const ElfW (Shdr) *linked = (const ElfW (Shdr) *)(const void *)(image->data + at);
  return linked->sh_offset + linked->sh_size <= image->size ? linked : NULL;
}

static const char *
text_at (const Image *image, const ElfW (Shdr) * texts, size_t offset)
{
  if (texts == NULL || offset >= texts->sh_size)
    return "";
  const char *text = (const char *)image->data + texts->sh_offset + offset;
  return memchr (text, '\0', texts->sh_size - offset) != NULL ? text : "";
}

/* What linkers and sanitizers put into every module is not the author's. */
static bool
is_of_the_tools (const char *name)
{
  static const char *const prefixes[] = { "_init", "_fini",  "_edata",  "_end",   "__bss_start", "__asan",
                                          "__odr", "__tsan", "__ubsan", "__gcov", "__start_",    "__stop_" };
  for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++)
    if (strncmp (name, prefixes[i], strlen (prefixes[i])) == 0)
      return true;
  return *name == '\0';
}

static bool
is_exported (const ElfW (Sym) * symbol)
{
  const unsigned binding = symbol->st_info >> 4, visibility = symbol->st_other & 3;
  return symbol->st_shndx != SHN_UNDEF && (binding == STB_GLOBAL || binding == STB_WEAK || binding == STB_GNU_UNIQUE) &&
         (visibility == STV_DEFAULT || visibility == STV_PROTECTED);
}

char **
elf_exported (const char *path)
{
  Image image;
  if (!image_open (path, &image))
    return NULL;
  const ElfW (Shdr) *section = section_of_type (&image, SHT_DYNSYM);
  const ElfW (Shdr) *texts = section != NULL ? linked_section (&image, section) : NULL;
  const size_t count = section != NULL ? section->sh_size / sizeof (ElfW (Sym)) : 0;
  /* One block: pointers, then the texts that they point to. */
  char **names = calloc (1, (count + 1) * sizeof *names + (texts != NULL ? texts->sh_size : 0) + 1);
  char *room = (char *)(names + count + 1);
  size_t found = 0;
  for (size_t i = 0; names != NULL && i < count; i++) {
    const ElfW (Sym) *symbol = (const ElfW (Sym) *)(const void *)(image.data + section->sh_offset) + i;
    const char *name = text_at (&image, texts, symbol->st_name);
    if (!is_exported (symbol) || is_of_the_tools (name))
      continue;
    names[found++] = room;
    room = stpcpy (room, name) + 1;
  }
  munmap ((void *)image.data, image.size);
  return names;
}

char *
elf_needed (const char *path, const char *prefix)
{
  Image image;
  char *needed = NULL;
  if (!image_open (path, &image))
    return NULL;
  const ElfW (Shdr) *section = section_of_type (&image, SHT_DYNAMIC);
  const ElfW (Shdr) *texts = section != NULL ? linked_section (&image, section) : NULL;
  const size_t count = section != NULL ? section->sh_size / sizeof (ElfW (Dyn)) : 0;
  for (size_t i = 0; i < count && needed == NULL; i++) {
    const ElfW (Dyn) *entry = (const ElfW (Dyn) *)(const void *)(image.data + section->sh_offset) + i;
    if (entry->d_tag == DT_NEEDED && strncmp (text_at (&image, texts, entry->d_un.d_val), prefix, strlen (prefix)) == 0)
      needed = strdup (text_at (&image, texts, entry->d_un.d_val));
  }
  munmap ((void *)image.data, image.size);
  return needed;
}
