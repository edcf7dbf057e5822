// A file of the page's own origin (OPFS), which stays when the page is reloaded or the browser closed.

/** The bytes of the file, undefined where there is none. */
export async function load(name) {
  const folder = await navigator.storage.getDirectory();
  try {
    const file = await (await folder.getFileHandle(name)).getFile();
    return new Uint8Array(await file.arrayBuffer());
  } catch (error) {
    if (error.name === 'NotFoundError') return undefined;
    throw error;
  }
}

/** Replaces the file: a page that goes away meanwhile leaves the old one, since the new one takes its place on close(). */
export async function save(name, bytes) {
  const folder = await navigator.storage.getDirectory();
  const stream = await (await folder.getFileHandle(name, { create: true })).createWritable();
  await stream.write(bytes);
  await stream.close();
}

/** Deletes the file, where there is one. */
export async function forget(name) {
  const folder = await navigator.storage.getDirectory();
  await folder.removeEntry(name).catch((error) => {
    if (error.name !== 'NotFoundError') throw error;
  });
}
