/* SPDX-License-Identifier: MIT */
#include "folder.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define OPEN_FOLDERS 16

char *
folder_make (void)
{
  const char *base = getenv ("TMPDIR");
  char *folder = NULL;
  if (asprintf (&folder, "%s/ragify-plugin-test-XXXXXX", base != NULL ? base : "/tmp") < 0 ||
      mkdtemp (folder) == NULL) {
    perror ("ragify-plugin-test: no temporary folder");
    exit (2);
  }
  return folder;
}

static int
remove_one (const char *path, const struct stat *status, int type, struct FTW *place)
{
  (void)status;
  (void)type;
  (void)place;
  return remove (path);
}

void
folder_remove (char *folder)
{
  nftw (folder, remove_one, OPEN_FOLDERS, FTW_DEPTH | FTW_PHYS);
  free (folder);
}
