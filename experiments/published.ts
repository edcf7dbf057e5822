/** Linear evaluation on ImageNet-1K, %, as published (SACL + XD, NeurIPS 2023). */
export interface Published {
  readonly method: string;
  readonly about: string;
  readonly mobilenetV1?: number;
  readonly mobilenetV3?: number;
  readonly efficientnetB0?: number;
}

export const published: readonly Published[] = [
  { method: 'sacl_xd', about: '200 epochs', mobilenetV1: 59.34, mobilenetV3: 61.69, efficientnetB0: 65.32 },
  { method: 'xd', about: '200 epochs', mobilenetV3: 59.42 },
  { method: 'xd', about: '100 epochs', mobilenetV1: 55.84, mobilenetV3: 57.16 },
  { method: 'ssl_small', about: '', mobilenetV3: 48.7, efficientnetB0: 55.9 },
  { method: 'rekd', about: 'teacher ResNet-50', mobilenetV3: 56.7, efficientnetB0: 63.4 },
  { method: 'rekd', about: 'teacher ResNet-101', mobilenetV3: 59.6 },
  { method: 'oss', about: '', efficientnetB0: 64.1 },
  { method: 'seed', about: 'teacher ResNet-50', mobilenetV3: 55.2, efficientnetB0: 61.3 },
  { method: 'seed', about: 'teacher ResNet-101', mobilenetV3: 59.9 },
  { method: 'moco_v2', about: '200 epochs', mobilenetV3: 36.3, efficientnetB0: 42.2 },
];
