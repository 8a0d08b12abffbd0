export type Bytes = ArrayBuffer | ArrayBufferView;
export declare const inNode: boolean;
export declare function isBytes(x: unknown): x is Bytes;
export declare function bytesOf(x: Bytes): Uint8Array<ArrayBuffer>;
/** The bytes behind an address; in node also of a file. */
export declare function read(from: string | URL): Promise<Uint8Array<ArrayBuffer>>;
/** Whether the file has steps that several threads may share; false where it is no file that loads. */
export declare function isForThreads(file: Uint8Array<ArrayBuffer>): boolean;
/** Bytes that the file, packed once more, and the arenas of so many threads have together, as its header tells. */
export declare function bytesFor(file: Uint8Array<ArrayBuffer>, threads: number): number;
/** The JSON of the metadata section of a file that was loaded; empty where there is none, or it cannot be read: a model
 * runs without it. */
export declare function metadataOf(file: Uint8Array<ArrayBuffer>): Promise<Record<string, any>>;
export declare function listOf(metadata: Readonly<Record<string, any>>, key: string): readonly any[];
