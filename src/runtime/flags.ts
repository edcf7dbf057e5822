// WebGPU's flags by their values, which the specification fixes: their globals are missing in Node, and where nothing has a GPU.

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
