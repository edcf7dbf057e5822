// The values of WebGPU's flags, as fixed by the specification: the globals are missing in Node and in environments without WebGPU.

/** Of `GPUBufferUsage`. */
export const bufferUsage = {
  MAP_READ: 0x1,
  COPY_SRC: 0x4,
  COPY_DST: 0x8,
  UNIFORM: 0x40,
  STORAGE: 0x80,
  QUERY_RESOLVE: 0x200,
} as const;

/** `GPUMapMode.READ`. */
export const mapRead = 0x1;

/** `GPUShaderStage.COMPUTE`. */
export const computeStage = 0x4;
