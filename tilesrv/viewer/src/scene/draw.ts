/** The interactions that draw new shapes on a scene. */

import Draw from "ol/interaction/Draw";
import type { Coordinate } from "ol/coordinate";
import { noModifierKeys, primaryAction, shiftKeyOnly } from "ol/events/condition";
import LineString from "ol/geom/LineString";
import Polygon from "ol/geom/Polygon";
import type MapBrowserEvent from "ol/MapBrowserEvent";
import type SimpleGeometry from "ol/geom/SimpleGeometry";
import type Style from "ol/style/Style";
import type { Geometry, ShapeMember } from "../annotate/model";
import { between, memberOf, onEdge, outlineOf, type Framed } from "../annotate/shapes";
import type { Grid2, Point2 } from "../grid";
import { worldGeometry } from "./convert";

export type DrawTool = "point" | "line" | "polygon" | "hole" | "box" | "rotated-box" | "ellipse" | "keypoints" | "cut";

export interface Drawn {
  geometry: Geometry | null;
  shape?: ShapeMember;
  /** As it lies on the map, for holes. */
  ring: Coordinate[];
}

/** Whether the first button alone is pressed: others move the map. */
export function plainly(event: MapBrowserEvent): boolean {
  return noModifierKeys(event) && primaryAction(event);
}

/** Pixels of the screen that a hand may move while it clicks. */
const STILL = 6;

/** An interaction that draws one kind of shape again and again. */
export function drawing(tool: DrawTool, grid: Grid2, style: Style[], done: (drawn: Drawn) => void): Draw {
  let framed: Framed | null = null;
  let isBegun = false;
  const world = (place: Coordinate | undefined): Point2 => grid.fromMap([place?.[0] ?? 0, place?.[1] ?? 0]);
  const show = (found: Framed, geometry: SimpleGeometry | undefined): SimpleGeometry => {
    framed = found;
    const ring = outlineOf(found).map((place) => grid.toMap(place));
    const polygon = (geometry ?? new Polygon([ring])) as Polygon;
    polygon.setCoordinates([ring]);
    return polygon;
  };
  const made = new Draw({
    ...kindOf(tool, world, show),
    style,
    condition: plainly,
    freehandCondition: tool === "box" || tool === "ellipse" ? dragged(() => isBegun) : (event) => FREELY.has(tool) && shiftKeyOnly(event),
    stopClick: true,
    snapTolerance: 10,
  });
  made.on("drawstart", () => {
    [framed, isBegun] = [null, true];
  });
  const ended = (): void => {
    isBegun = false; // and not its value: a listener that gives false keeps the event from others
  };
  made.on(["drawend", "drawabort"], ended);
  made.on("drawend", ({ feature }) => {
    const geometry = feature.getGeometry();
    if (framed) return done({ geometry: null, shape: memberOf(framed), ring: [] });
    if (geometry) done({ geometry: worldGeometry(geometry, grid), ring: geometry instanceof Polygon ? geometry.getCoordinates()[0] ?? [] : [] });
  });
  return made;
}

const FREELY: ReadonlySet<DrawTool> = new Set(["polygon", "line", "hole", "cut"]);

/** Lets a shape be drawn from corner to corner in one go, by holding the button, as well as by two clicks. */
function dragged(isBegun: () => boolean): (event: MapBrowserEvent) => boolean {
  let from: readonly number[] | null = null;
  return (event) => {
    if (event.type === "pointerdown") from = !isBegun() && plainly(event) ? event.pixel : null;
    if (!from || event.type !== "pointerup") return from !== null;
    const [x = 0, y = 0] = from;
    from = null;
    // let go where it was pressed: the other corner will be clicked
    return Math.hypot((event.pixel[0] ?? 0) - x, (event.pixel[1] ?? 0) - y) > STILL;
  };
}

type Show = (found: Framed, geometry: SimpleGeometry | undefined) => SimpleGeometry;

function kindOf(tool: DrawTool, world: (place: Coordinate | undefined) => Point2, show: Show): ConstructorParameters<typeof Draw>[0] {
  switch (tool) {
    case "point": return { type: "Point" };
    case "line": case "cut": return { type: "LineString" };
    case "keypoints": return { type: "LineString", minPoints: 1 };
    case "polygon": case "hole": return { type: "Polygon" };
    case "box": case "ellipse": return {
      type: "Circle",
      geometryFunction: (coordinates, geometry) => {
        const [a, b] = coordinates as Coordinate[];
        return show(between(tool, world(a), world(b ?? a)), geometry);
      },
    };
    case "rotated-box": return {
      type: "LineString",
      maxPoints: 3,
      minPoints: 3,
      geometryFunction: (coordinates, geometry) => {
        const [a, b, c] = coordinates as Coordinate[];
        if (c) return show(onEdge(world(a), world(b), world(c)), geometry instanceof Polygon ? geometry : undefined);
        const line = geometry instanceof LineString ? geometry : new LineString([]);
        line.setCoordinates((coordinates as Coordinate[]).slice());
        return line;
      },
    };
  }
}
