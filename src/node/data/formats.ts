/**
 * What kind of file a file is: by its name, without opening it, and by its first bytes. Content decides wherever it is known; names
 * only spare opening files whose kind is not in doubt. Knows no decoder and no folder.
 */

/** Formats that are decoded here. */
const readFormats = ['jpeg', 'png', 'webp', 'gif', 'tiff', 'avif'] as const;
type ReadFormat = (typeof readFormats)[number];

/** Formats of images that are not decoded here, and what to do about them. */
export const unreadFormats = {
  heic: 'HEIC: convert to JPEG, as heif-convert or a phone\'s export "most compatible" does',
  bmp: 'BMP: convert to PNG',
  svg: 'SVG, a drawing of lines: export as PNG',
  psd: 'Photoshop: export as PNG',
  jxl: 'JPEG XL: convert to PNG',
  jp2: 'JPEG 2000: convert to PNG',
  ico: 'an icon: convert to PNG',
  pnm: 'PNM: convert to PNG',
  hdr: 'high dynamic range: convert to 16-bit PNG',
  raw: "a camera's raw file: export as JPEG or 16-bit TIFF",
  dicom: 'DICOM: export as 16-bit PNG',
} as const;
export type UnreadFormat = keyof typeof unreadFormats;

const extensions: Readonly<Record<string, ReadFormat | UnreadFormat | 'other'>> = Object.fromEntries(
  Object.entries({
    jpeg: 'jpg jpeg jpe jfif jif jfi pjpeg pjp',
    png: 'png apng',
    webp: 'webp',
    gif: 'gif',
    tiff: 'tif tiff',
    avif: 'avif avifs',
    heic: 'heic heics heif heifs hif',
    bmp: 'bmp dib',
    svg: 'svg svgz',
    psd: 'psd psb',
    jxl: 'jxl',
    jp2: 'jp2 j2k j2c jpx jpf jpm',
    ico: 'ico cur',
    pnm: 'ppm pgm pbm pnm pam',
    hdr: 'exr hdr',
    raw: 'cr2 cr3 crw nef nrw arw srf sr2 dng orf rw2 raf pef srw x3f 3fr iiq rwl mrw kdc dcr erf mef mos',
    dicom: 'dcm',
    other:
      'txt md rst csv tsv json jsonl xml yaml yml toml ini cfg log html htm css js ts py ipynb m r sh bat lua ' +
      'pdf doc docx xls xlsx ppt pptx odt ods zip gz tgz bz2 xz 7z rar tar npy npz pkl pt pth onnx h5 hdf5 mat ' +
      'safetensors parquet arrow tfrecord db sqlite lmdb mp4 mov avi mkv webm m4v 3gp mpg mpeg mp3 wav m4a flac ' +
      'ogg aae xmp thm lrv srt vtt url lnk exe dll so crdownload part tmp',
  }).flatMap(([format, names]) =>
    names.split(' ').map((name) => [name, format as ReadFormat | UnreadFormat | 'other']),
  ),
);

/** The extension of a name in lower case, without its dot; '' if there is none. */
export function endingOf(name: string): string {
  return /[^/]\.([^./\\]{1,12})$/.exec(name)?.[1].toLowerCase() ?? '';
}

/** The format of a name's extension; 'other' for one that is not an image's, undefined for an unknown one. */
export function formatByName(name: string): ReadFormat | UnreadFormat | 'other' | undefined {
  const ending = endingOf(name);
  return Object.hasOwn(extensions, ending) ? extensions[ending] : undefined;
}

/** How many bytes of a file `formatByContent` looks at. */
export const headBytes = 64;

/** The format of an image by its first bytes, undefined where they begin none that is known. */
export function formatByContent(head: Uint8Array): ReadFormat | UnreadFormat | undefined {
  const hex = Buffer.from(head.buffer, head.byteOffset, Math.min(head.length, headBytes)).toString('hex');
  return signatures.find(([, pattern]) => pattern.test(hex))?.[0] ?? (isDrawing(head) ? 'svg' : undefined);
}

/** Beginnings in hexadecimal: text in quotes is ASCII, a dot any half of a byte. */
const signature = (pattern: string) =>
  new RegExp(
    `^${pattern.replace(/'([^']*)'/g, (_, text) => Buffer.from(text, 'latin1').toString('hex')).replace(/ /g, '')}`,
  );

const signatures = (
  [
    ['jpeg', 'ff d8 ff'],
    ['png', "89 'PNG' 0d 0a 1a 0a"],
    ['webp', "'RIFF' .{8} 'WEBP'"],
    ['gif', "'GIF8' 3[79] 'a'"],
    ['raw', "('II' 2a 00 .{8} 'CR' | 'IIRO' | 'IIU' 00 | 'FUJIFILM' | 'FOVb' | .{8} 'ftypcrx')"],
    ['tiff', "('II' 2[ab] 00 | 'MM' 00 2[ab])"],
    // an AVIF file may have a HEIF brand before its own
    ['avif', ".{8} 'ftyp' (.{8})* ('avif'|'avis')"],
    ['heic', ".{8} 'ftyp' (.{8})* ('heic'|'heix'|'heim'|'heis'|'hevc'|'hevx'|'mif1'|'msf1')"],
    ['bmp', "'BM' .{8} 00 00 00 00"],
    ['psd', "'8BPS'"],
    ['jxl', "(ff 0a | 00 00 00 0c 'JXL ')"],
    ['jp2', "(00 00 00 0c 'jP  ' | ff 4f ff 51)"],
    ['ico', '00 00 0[12] 00 (0[1-9a-f] | [1-9a-f].)'],
    ['pnm', "'P' 3[1-7] (0a | 20 | 0d | 09)"],
    ['hdr', "(76 2f 31 01 | '#?R')"],
  ] as const
).map(([format, pattern]) => [format, signature(pattern)] as const);

function isDrawing(head: Uint8Array): boolean {
  const text = new TextDecoder().decode(head.subarray(0, headBytes)).trimStart();
  return /^<(svg\b|!DOCTYPE svg)/.test(text);
}

/** Whether images of a format are decoded here. */
export const isRead = (format: string | undefined): format is ReadFormat =>
  (readFormats as readonly (string | undefined)[]).includes(format);
