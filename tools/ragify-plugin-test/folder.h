/* A temporary folder for one case.
 *
 * SPDX-License-Identifier: MIT
 */
#pragma once

/* Makes an empty folder under $TMPDIR; the name is freed by folder_remove, which removes all that is in it. */
char *folder_make (void);
void folder_remove (char *folder);
